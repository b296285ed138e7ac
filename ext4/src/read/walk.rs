//! Whole trees, within limits that end on hostile images too.

use std::collections::HashSet;

use super::{Filesystem, ImagePath, Stat};
use crate::layout::inode::{FileKind, Inode};
use crate::{Error, Result};

/// How far a walk may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Directories below each other.
    pub depth: usize,
    /// Entries in all.
    pub entries: u64,
    /// Lengths of regular files in all, in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    /// 128 levels, 4 million entries, 1 TiB.
    fn default() -> Self {
        Self { depth: 128, entries: 4 << 20, bytes: 1 << 40 }
    }
}

/// One entry met on a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Path below the top, components joined by `/`; empty for the top itself.
    pub path: Vec<u8>,
    /// Levels below the top; 0 for the top itself.
    pub depth: usize,
    /// What it is.
    pub stat: Stat,
}

impl WalkEntry {
    /// The last component; empty for the top.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

impl Filesystem {
    /// Calls `visit` for `top` and everything below it: a directory before
    /// what it holds, names of one directory in the order of their bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] at a limit, [`Error::Corrupt`] when a directory is
    /// met twice, [`Error::NotFound`] and [`Error::WrongType`] for `top`,
    /// what reading meets, and the errors of `visit`.
    pub fn walk(
        &self,
        top: &ImagePath,
        limits: &Limits,
        visit: &mut dyn FnMut(&WalkEntry) -> Result<()>,
    ) -> Result<()> {
        self.walk_inodes(top, limits, &mut |entry, _| visit(entry))
    }

    /// As [`Self::walk`], each entry with its inode.
    pub(crate) fn walk_inodes(
        &self,
        top: &ImagePath,
        limits: &Limits,
        visit: &mut dyn FnMut(&WalkEntry, &Inode) -> Result<()>,
    ) -> Result<()> {
        let mut left = *limits;
        let mut seen = HashSet::new();
        // No block is two directories': all of them together are no longer than the filesystem.
        let mut blocks = self.geometry().blocks_count;
        let top = WalkEntry { path: Vec::new(), depth: 0, stat: self.stat(top)? };
        let mut waiting = vec![(top.path, top.depth, top.stat.ino)];
        while let Some((path, depth, ino)) = waiting.pop() {
            let inode = self.inode_in_use(ino)?;
            let entry = WalkEntry { path, depth, stat: self.stat_of(ino, &inode)? };
            left.spend(&entry, limits)?;
            visit(&entry, &inode)?;
            if entry.stat.kind != FileKind::Directory {
                continue;
            }
            if !seen.insert(ino) {
                let what = format!("directory inode {ino} has more than one place");
                return Err(Error::Corrupt { what });
            }
            let long = inode.size().div_ceil(self.geometry().block_size.into());
            blocks = blocks.checked_sub(long).ok_or_else(|| Error::Corrupt {
                what: format!("directory inode {ino}: all directories are too long together"),
            })?;
            // What waits was counted against nothing yet, but is held in memory.
            let room = left.entries.saturating_sub(waiting.len() as u64);
            let mut items = self.list(ino, &inode, room)?;
            if depth >= limits.depth && !items.is_empty() {
                return Err(too_large("the depth of directories", limits.depth as u64));
            }
            items.sort_by(|a, b| b.name.cmp(&a.name));
            for item in items {
                let mut path = Vec::with_capacity(entry.path.len() + 1 + item.name.len());
                path.extend_from_slice(&entry.path);
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(&item.name);
                waiting.push((path, depth + 1, item.ino));
            }
        }
        Ok(())
    }
}

impl Limits {
    fn spend(&mut self, entry: &WalkEntry, all: &Self) -> Result<()> {
        let Some(entries) = self.entries.checked_sub(1) else {
            return Err(too_large("the number of entries", all.entries));
        };
        self.entries = entries;
        if entry.stat.kind == FileKind::Regular {
            let Some(bytes) = self.bytes.checked_sub(entry.stat.size) else {
                return Err(too_large("the length of all files, in bytes,", all.bytes));
            };
            self.bytes = bytes;
        }
        Ok(())
    }
}

fn too_large(what: &str, limit: u64) -> Error {
    Error::TooLarge { what: what.to_owned(), limit }
}
