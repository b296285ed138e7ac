//! Directories: every entry, or the one with a given name.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Filesystem, ImagePath};
use crate::layout::directory::{self, DirEntry};
use crate::layout::htree::{DxNode, DxRoot};
use crate::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode};
use crate::{Error, Result, le};

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirItem {
    /// The name; any byte but `/` and NUL.
    pub name: Vec<u8>,
    /// The inode.
    pub ino: u32,
    /// What the entry says of the type; none when the filesystem keeps none.
    pub kind: Option<FileKind>,
}

impl Filesystem {
    /// The entries of a directory but `.` and `..`, in the order of the disk.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there are more than `limit`,
    /// [`Error::WrongType`] when it is no directory, [`Error::NotFound`], and
    /// what reading meets.
    pub fn read_dir(&self, path: &ImagePath, limit: u64) -> Result<Vec<DirItem>> {
        let ino = self.resolve(path, true)?;
        let inode = self.inode_in_use(ino)?;
        if inode.kind() != Some(FileKind::Directory) {
            let reason = "it is no directory";
            return Err(Error::WrongType { path: path.to_string(), reason });
        }
        self.list(ino, &inode, limit)
    }

    /// The entries of a directory inode but `.` and `..`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when there are more than `limit`, and what reading meets.
    pub fn list(&self, ino: u32, inode: &Inode, limit: u64) -> Result<Vec<DirItem>> {
        let mut items: Vec<DirItem> = Vec::new();
        self.each_entry(ino, inode, &mut |entry| {
            if items.len() as u64 >= limit {
                let what = format!("the number of entries of directory inode {ino}");
                return Err(Error::TooLarge { what, limit });
            }
            items.push(DirItem {
                name: entry.name.to_vec(),
                ino: entry.inode,
                kind: kind_of(entry.file_type),
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(items)
    }

    /// The inode a directory has under `name`, if any.
    ///
    /// # Errors
    /// What reading meets.
    pub fn lookup(&self, ino: u32, inode: &Inode, name: &[u8]) -> Result<Option<u32>> {
        if let Some(answer) = self.lookup_indexed(ino, inode, name)? {
            return Ok(answer);
        }
        let mut found = None;
        self.each_entry(ino, inode, &mut |entry| {
            if entry.name == name {
                found = Some(entry.inode);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Calls `visit` for every entry in use but `.` and `..`, until it breaks.
    pub(crate) fn each_entry(
        &self,
        ino: u32,
        inode: &Inode,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if inode.has_flag(FLAG_INLINE_DATA) {
            return self.each_inline_entry(ino, inode, visit);
        }
        let seed = self.inode_seed(ino, inode);
        let mut blocks = self.directory_blocks(ino, inode)?;
        while let Some((number, block)) = blocks.next_block()? {
            let tail = check_block(&block, number, inode, seed)?;
            if self.entries_of(&block, tail, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One block of a directory, its checksum right: the directory's block `number`, which is
    /// `block` on the device. Gives also whether its last entry is the checksum's.
    pub(crate) fn directory_block(
        &self,
        ino: u32,
        inode: &Inode,
        number: u64,
        block: u64,
    ) -> Result<(Arc<[u8]>, bool)> {
        let bytes = self.block(block)?;
        let tail = check_block(&bytes, number, inode, self.inode_seed(ino, inode))?;
        Ok((bytes, tail))
    }

    /// The entries of such a block that are in use, but `.` and `..`; `from` is where one begins.
    pub(crate) fn entries_in<'a>(
        &self,
        (bytes, tail): (&'a [u8], bool),
        from: usize,
    ) -> impl Iterator<Item = Result<DirEntry<'a>>> + use<'a> {
        directory::entries(bytes, tail, self.has_types()).starting_at(from).filter(is_shown)
    }

    /// As [`Self::entries_in`], for who only compares names with possible ones.
    pub(crate) fn records_in<'a>(
        &self,
        (bytes, tail): (&'a [u8], bool),
        from: usize,
    ) -> impl Iterator<Item = Result<DirEntry<'a>>> + use<'a> {
        directory::records(bytes, tail, self.has_types()).starting_at(from).filter(is_shown)
    }

    fn entries_of(
        &self,
        block: &[u8],
        tail: bool,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        for entry in directory::entries(block, tail, self.has_types()) {
            let entry = entry?;
            let dots = entry.name == b"." || entry.name == b"..";
            if entry.inode != 0 && !dots && visit(&entry)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Inline: the parent's number, then entries; more entries in the attribute.
    fn each_inline_entry(
        &self,
        ino: u32,
        inode: &Inode,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let bytes = self.inline_data(ino, inode)?;
        let (first, second) = bytes.split_at(bytes.len().min(60));
        let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
        let first = first.get(4..size.clamp(4, 60)).unwrap_or_default();
        let second = second.get(..size.saturating_sub(60).min(second.len())).unwrap_or_default();
        for part in [first, second] {
            if self.entries_of(part, false, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Searches one leaf for a name.
    pub(super) fn find_in_block(&self, block: &[u8], name: &[u8]) -> Result<Option<u32>> {
        if name == b"." || name == b".." {
            return Ok(None);
        }
        let mut records = directory::records(block, self.checksums().metadata, self.has_types());
        Ok(records.named(name).transpose()?.map(|entry| entry.inode))
    }

    /// The blocks of a directory, one after the other.
    pub(super) fn directory_blocks(&self, ino: u32, inode: &Inode) -> Result<DirectoryBlocks<'_>> {
        let block_size = u64::from(self.geometry().block_size);
        let count = inode.size() / block_size;
        if !inode.size().is_multiple_of(block_size) || count > self.geometry().blocks_count {
            let what = format!("directory inode {ino}: its size is impossible");
            return Err(Error::Corrupt { what });
        }
        Ok(DirectoryBlocks { map: self.block_map(ino, inode)?, ino, count, next: 0 })
    }
}

/// Damage is shown too.
fn is_shown(entry: &Result<DirEntry<'_>>) -> bool {
    let in_use =
        |entry: &DirEntry<'_>| entry.inode != 0 && entry.name != b"." && entry.name != b"..";
    entry.as_ref().map_or(true, in_use)
}

/// Reads the blocks of a directory by number or in turn.
pub(super) struct DirectoryBlocks<'a> {
    map: super::BlockMap<'a>,
    ino: u32,
    count: u64,
    next: u64,
}

impl DirectoryBlocks<'_> {
    fn next_block(&mut self) -> Result<Option<(u64, Arc<[u8]>)>> {
        if self.next >= self.count {
            return Ok(None);
        }
        let number = self.next;
        self.next += 1;
        Ok(Some((number, self.block(number)?)))
    }

    pub(super) fn filesystem(&self) -> &Filesystem {
        self.map.fs
    }

    pub(super) fn block(&mut self, number: u64) -> Result<Arc<[u8]>> {
        let hole = || Error::Corrupt {
            what: format!("directory inode {}: block {number} is missing", self.ino),
        };
        if number >= self.count {
            return Err(hole());
        }
        let physical = self.map.run(number)?.physical.ok_or_else(hole)?;
        self.map.fs.block(physical)
    }
}

/// Checks whichever checksum a block of a directory has; true when its last
/// entry is the checksum's.
fn check_block(block: &[u8], number: u64, inode: &Inode, seed: Option<u32>) -> Result<bool> {
    let Some(seed) = seed else { return Ok(false) };
    if inode.has_flag(FLAG_INDEX) {
        if number == 0 {
            DxRoot::parse(block, Some(seed))?;
            return Ok(false);
        }
        let whole = le::get::<u32>(block, 0) == Some(0)
            && le::get::<u16>(block, 4).map(|len| directory::decode_rec_len(len, block.len()))
                == Some(block.len());
        if whole {
            DxNode::parse(block, Some(seed))?;
            return Ok(false);
        }
    }
    directory::check_tail(block, seed)?;
    Ok(true)
}

/// The type an entry names.
fn kind_of(file_type: u8) -> Option<FileKind> {
    Some(match file_type {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::CharDevice,
        4 => FileKind::BlockDevice,
        5 => FileKind::Fifo,
        6 => FileKind::Socket,
        7 => FileKind::Symlink,
        _ => return None,
    })
}
