//! From blocks of a file to blocks of the device: extents, and the older block lists.

use std::ops::Range;

use super::Filesystem;
use crate::layout::extent::{Entries, Extent, ExtentNode};
use crate::layout::inode::{FLAG_EXTENTS, FLAG_INLINE_DATA, Inode};
use crate::{Error, Result};

/// Blocks of a file that follow each other on the device, or are all a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First block of the file.
    pub logical: u64,
    /// Blocks, at least 1.
    pub len: u64,
    /// First block on the device; none reads as zero.
    pub physical: Option<u64>,
}

/// Everything a mapped inode has on the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeBlocks {
    /// Runs with storage, in the file's order; unwritten ones too.
    pub data: Vec<Extent>,
    /// Blocks of the tree itself: extent nodes, or indirect blocks.
    pub nodes: Vec<u64>,
}

/// The map of one inode. Keeps the node it last looked at, so that reading
/// onwards asks the disk once for each node.
pub struct BlockMap<'a> {
    pub(super) fs: &'a Filesystem,
    ino: u32,
    seed: Option<u32>,
    pub(super) root: [u8; 60],
    extents: bool,
    leaf: Option<(Range<u64>, Vec<Extent>)>,
    /// The indirect block last looked at, by its number.
    pub(super) pointers: Option<(u64, std::sync::Arc<[u8]>)>,
}

impl std::fmt::Debug for BlockMap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockMap").field("ino", &self.ino).finish_non_exhaustive()
    }
}

impl Filesystem {
    /// The map of an inode's data.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the inode has no map: its data lies inside it.
    pub fn block_map(&self, ino: u32, inode: &Inode) -> Result<BlockMap<'_>> {
        if inode.has_flag(FLAG_INLINE_DATA) {
            return Err(Error::Corrupt { what: format!("inode {ino}: its data has no blocks") });
        }
        Ok(BlockMap {
            fs: self,
            ino,
            seed: self.inode_seed(ino, inode),
            root: inode.i_block(),
            extents: inode.has_flag(FLAG_EXTENTS),
            leaf: None,
            pointers: None,
        })
    }
}

impl BlockMap<'_> {
    /// The run at block `logical` of the file, beginning right there.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`].
    pub fn run(&mut self, logical: u64) -> Result<Run> {
        let run =
            if self.extents { self.extent_run(logical)? } else { self.indirect_run(logical)? };
        if let Some(physical) = run.physical {
            self.check_blocks(physical, run.len)?;
        }
        Ok(run)
    }

    pub(super) fn check_blocks(&self, start: u64, len: u64) -> Result<()> {
        let geometry = self.fs.geometry();
        let last = start.saturating_add(len.saturating_sub(1));
        if geometry.is_data_block(start) && geometry.is_data_block(last) {
            return Ok(());
        }
        Err(self.corrupt("a mapped block lies outside the filesystem"))
    }

    pub(super) fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt { what: format!("inode {}: {what}", self.ino) }
    }

    fn extent_run(&mut self, logical: u64) -> Result<Run> {
        let covered = self.leaf.as_ref().is_some_and(|(range, _)| range.contains(&logical));
        if !covered {
            self.leaf = Some(self.descend(logical)?);
        }
        let Some((range, extents)) = &self.leaf else {
            return Err(self.corrupt("no extent leaf"));
        };
        let after = extents.partition_point(|extent| u64::from(extent.block) <= logical);
        if let Some(extent) = after.checked_sub(1).and_then(|n| extents.get(n))
            && logical < extent.end()
        {
            let into = logical - u64::from(extent.block);
            let physical = (!extent.unwritten).then(|| extent.start + into);
            return Ok(Run { logical, len: extent.end() - logical, physical });
        }
        let next = extents.get(after).map_or(range.end, |extent| extent.block.into());
        Ok(Run { logical, len: next.saturating_sub(logical).max(1), physical: None })
    }

    /// The leaf that covers a block, and the blocks it covers.
    fn descend(&self, logical: u64) -> Result<(Range<u64>, Vec<Extent>)> {
        let mut node = ExtentNode::parse(&self.root, None, None)?;
        let mut range = 0..u64::MAX;
        loop {
            match node.entries {
                Entries::Leaf(extents) => {
                    self.check_within(&range, extents.first().map(|e| e.block), || {
                        extents.last().map(Extent::end)
                    })?;
                    return Ok((range, extents));
                }
                Entries::Index(indexes) => {
                    self.check_within(&range, indexes.first().map(|i| i.block), || {
                        indexes.last().map(|i| u64::from(i.block) + 1)
                    })?;
                    let after = indexes.partition_point(|i| u64::from(i.block) <= logical);
                    let Some(index) = after.checked_sub(1).and_then(|n| indexes.get(n)) else {
                        // A hole before the first node.
                        let end = indexes.first().map_or(range.end, |i| i.block.into());
                        return Ok((range.start..end, Vec::new()));
                    };
                    let end = indexes.get(after).map_or(range.end, |i| i.block.into());
                    range = u64::from(index.block)..end;
                    let block = self.fs.block(index.leaf)?;
                    node = ExtentNode::parse(&block, Some(node.depth - 1), self.seed)?;
                }
            }
        }
    }

    /// A node may hold only what its parent gave it: so no node is met twice.
    fn check_within(
        &self,
        range: &Range<u64>,
        first: Option<u32>,
        end: impl FnOnce() -> Option<u64>,
    ) -> Result<()> {
        let begins = first.is_none_or(|first| u64::from(first) >= range.start);
        if begins && end().is_none_or(|end| end <= range.end) {
            return Ok(());
        }
        Err(self.corrupt("an extent node holds blocks that are not its own"))
    }

    /// Every run with storage and every block of the tree. `limit` bounds the
    /// number of both together.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], or [`Error::TooLarge`].
    pub fn tree_blocks(&mut self, limit: u64) -> Result<TreeBlocks> {
        let mut found = TreeBlocks::default();
        if self.extents {
            self.collect_extents(&mut found, limit)?;
        } else {
            self.collect_indirect(&mut found, limit)?;
        }
        Ok(found)
    }

    fn collect_extents(&self, found: &mut TreeBlocks, limit: u64) -> Result<()> {
        let root = ExtentNode::parse(&self.root, None, None)?;
        // Nodes that wait are numbers: a tree of any width takes little memory.
        let mut waiting: Vec<(u64, u16, Range<u64>)> = Vec::new();
        let mut now = Some((root, 0..u64::MAX));
        while let Some((node, range)) = now.take() {
            match node.entries {
                Entries::Leaf(extents) => {
                    self.check_within(&range, extents.first().map(|e| e.block), || {
                        extents.last().map(Extent::end)
                    })?;
                    for extent in &extents {
                        self.check_blocks(extent.start, extent.len.into())?;
                    }
                    found.data.extend(extents);
                }
                Entries::Index(indexes) => {
                    self.check_within(&range, indexes.first().map(|i| i.block), || {
                        indexes.last().map(|i| u64::from(i.block) + 1)
                    })?;
                    // Last first, so that the first is taken from the stack first.
                    let mut end = range.end;
                    for index in indexes.iter().rev() {
                        waiting.push((index.leaf, node.depth - 1, index.block.into()..end));
                        end = index.block.into();
                    }
                }
            }
            check_limit(found, limit)?;
            if let Some((leaf, depth, range)) = waiting.pop() {
                let block = self.fs.block(leaf)?;
                found.nodes.push(leaf);
                now = Some((ExtentNode::parse(&block, Some(depth), self.seed)?, range));
            }
        }
        Ok(())
    }
}

pub(super) fn check_limit(found: &TreeBlocks, limit: u64) -> Result<()> {
    if (found.data.len() + found.nodes.len()) as u64 > limit {
        let what = "the number of pieces of a file".to_owned();
        return Err(Error::TooLarge { what, limit });
    }
    Ok(())
}
