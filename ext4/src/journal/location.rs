//! Where the blocks of the internal journal lie on the device.

use std::sync::Arc;

use super::superblock::JournalSuperblock;
use crate::layout::features::Compat;
use crate::layout::inode::FileKind;
use crate::{Disk, Error, Filesystem, Result, Run};

/// The internal journal: its superblock and the places of its blocks.
#[derive(Debug, Clone)]
pub struct JournalLocation {
    /// The journal's superblock as it is on the device.
    pub superblock: JournalSuperblock,
    block_size: u64,
    /// In order, without holes, all of `s_maxlen`.
    runs: Vec<Run>,
}

impl JournalLocation {
    /// Finds the journal; none when the filesystem has none.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for a journal on another device or with unknown
    /// features, [`Error::Corrupt`], and [`Error::Io`].
    pub fn find(fs: &Filesystem) -> Result<Option<Self>> {
        let sb = fs.superblock();
        if !sb.features().compat.has(Compat::HAS_JOURNAL) {
            return Ok(None);
        }
        let ino = sb.s_journal_inum();
        if ino == 0 || sb.s_journal_dev() != 0 {
            return Err(Error::Incompatible { feature: "an external journal".to_owned() });
        }
        let corrupt = |what: &str| Error::Corrupt { what: format!("journal inode {ino}: {what}") };
        let inode = fs.inode_in_use(ino)?;
        if inode.kind() != Some(FileKind::Regular) {
            return Err(corrupt("it is no regular file"));
        }
        let block_size = fs.geometry().block_size;
        let mut map = fs.block_map(ino, &inode)?;
        let first = map.run(0)?.physical.ok_or_else(|| corrupt("it has no first block"))?;
        let blocks = inode.size() / u64::from(block_size);
        let blocks = blocks.min(fs.geometry().blocks_count);
        let superblock = JournalSuperblock::parse(&fs.block(first)?, block_size, blocks)?;
        let length = u64::from(superblock.s_maxlen());
        let mut runs: Vec<Run> = Vec::new();
        let mut next = 0;
        while next < length {
            let mut run = map.run(next)?;
            run.len = run.len.min(length - next);
            next += run.len;
            match (runs.last_mut(), run.physical) {
                (_, None) => return Err(corrupt("a block of it is missing")),
                (Some(last), Some(physical))
                    if last.physical.map(|start| start + last.len) == Some(physical) =>
                {
                    last.len += run.len;
                }
                _ => runs.push(run),
            }
        }
        Ok(Some(Self { superblock, block_size: block_size.into(), runs }))
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_size(&self) -> usize {
        self.block_size as usize
    }

    /// Block on the device of the journal's block `number`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the journal is not that long.
    pub fn block(&self, number: u64) -> Result<u64> {
        let after = self.runs.partition_point(|run| run.logical <= number);
        let run = after.checked_sub(1).and_then(|n| self.runs.get(n));
        run.filter(|run| number < run.logical + run.len)
            .and_then(|run| Some(run.physical? + (number - run.logical)))
            .ok_or_else(|| Error::Corrupt { what: format!("journal block {number} is missing") })
    }

    /// True when block `number` of the device is the journal's.
    #[must_use]
    pub fn owns(&self, number: u64) -> bool {
        self.runs
            .iter()
            .any(|run| run.physical.is_some_and(|start| (start..start + run.len).contains(&number)))
    }

    /// The blocks of the device that are the journal's.
    pub(crate) fn runs(&self) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
        self.runs.iter().filter_map(|run| run.physical.map(|start| start..start + run.len))
    }

    /// Reads the journal's block `number`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`].
    pub fn read(&self, disk: &Arc<dyn Disk>, number: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size as usize];
        disk.read_at(self.block(number)? * self.block_size, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the journal's superblock as it stands here.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`].
    pub fn write_superblock(&self, disk: &Arc<dyn Disk>) -> Result<()> {
        disk.write_at(self.block(0)? * self.block_size, &self.superblock.encode())
    }
}
