//! What a batch changed, brought to the disk.

use std::sync::Arc;

use super::transaction::{self, Step, Superblocks};
use super::volume::Volume;
use crate::journal::JournalLocation;
use crate::layout::superblock::SUPERBLOCK_OFFSET;
use crate::{Filesystem, Result};

/// What must hold when the machine stops in the middle of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// A power cut: the device is flushed between the steps.
    #[default]
    PowerSafe,
    /// The end of the process alone: the order of writes is enough.
    ProcessSafe,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// All of the batch or none of it would have survived a crash.
    pub atomic: bool,
    /// Blocks of metadata written, and of data not written before.
    pub blocks: u64,
}

/// Changed blocks by what a crash may do to them.
pub(crate) struct Changes {
    /// Into blocks that were free: nobody sees them before the metadata says so.
    pub(crate) direct: Vec<(u64, Arc<[u8]>)>,
    /// In place of what is in use.
    pub(crate) logged: Vec<(u64, Arc<[u8]>)>,
}

impl Volume {
    /// Sorts what the overlay holds; blocks that are as they were, or that
    /// belong to nothing any more, are left out.
    pub(crate) fn changes(&self) -> Result<Changes> {
        let mut changes = Changes { direct: Vec::new(), logged: Vec::new() };
        for (block, bytes) in self.blocks.overlay().changed() {
            if self.is_free(block) {
                continue;
            }
            if self.was_free(block) {
                changes.direct.push((block, bytes));
                continue;
            }
            let mut before = vec![0; bytes.len()];
            self.below.read_at(self.geometry.offset(block), &mut before)?;
            if before != *bytes {
                changes.logged.push((block, bytes));
            }
        }
        Ok(changes)
    }

    /// The transaction that makes the changes real, where the filesystem has a
    /// journal to hold it.
    ///
    /// # Errors
    /// What planning it meets: see [`transaction::plan`].
    pub(crate) fn plan_transaction(&self, changes: &Changes) -> Result<Option<Vec<Step>>> {
        let filesystem = Filesystem::open_as_is(Arc::clone(&self.below))?;
        let Some(journal) = JournalLocation::find(&filesystem)? else { return Ok(None) };
        let old = filesystem.superblock().clone();
        let superblocks = Superblocks { old, new: self.sb.clone() };
        transaction::plan(journal, changes, &superblocks, self.now).map(Some)
    }

    /// Changes in an order that leaves at least the data whole: content first, then
    /// metadata, the superblock at last.
    pub(crate) fn plan_in_order(&self, changes: &Changes) -> Vec<Step> {
        let first = SUPERBLOCK_OFFSET / u64::from(self.geometry.block_size);
        let write = |(block, bytes): &(u64, Arc<[u8]>)| {
            Step::Write(self.geometry.offset(*block), bytes.to_vec())
        };
        let (superblock, rest): (Vec<_>, Vec<_>) =
            changes.logged.iter().partition(|(block, _)| *block == first);
        let mut steps: Vec<Step> = changes.direct.iter().map(write).collect();
        steps.push(Step::Barrier);
        steps.extend(rest.into_iter().map(write));
        steps.push(Step::Barrier);
        steps.extend(superblock.into_iter().map(write));
        steps.push(Step::Barrier);
        steps
    }

    /// Performs a plan.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; what was not yet done is not done.
    pub(crate) fn perform(&self, steps: &[Step], flush: Flush) -> Result<()> {
        for step in steps {
            match step {
                Step::Write(offset, bytes) => self.below.write_at(*offset, bytes)?,
                Step::Barrier if flush == Flush::PowerSafe => self.below.flush()?,
                Step::Barrier => {}
            }
        }
        Ok(())
    }
}
