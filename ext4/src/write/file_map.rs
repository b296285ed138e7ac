//! Which blocks a file has, and the extent tree that says so (or, on a filesystem without
//! extents, the blocks of pointers).
//!
//! A tree is read whole and written whole: files are never changed in the middle,
//! and directories grow by blocks that mostly join the last extent.

use std::collections::HashSet;
use std::ops::Range;

use super::volume::Volume;
use crate::layout::extent::{
    Entries, Extent, ExtentIndex, ExtentNode, MAX_LEN, ROOT_ENTRIES, block_capacity,
};
use crate::layout::features::Incompat;
use crate::layout::inode::{FLAG_EXTENTS, FLAG_INLINE_DATA, Inode};
use crate::{Error, Result};

/// The blocks of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FileMap {
    /// Ascending, not overlapping.
    pub(crate) extents: Vec<Extent>,
    /// Blocks of the tree (or of indirect pointers) outside the inode.
    pub(crate) nodes: Vec<u64>,
}

impl FileMap {
    /// Adds blocks behind the last ones, joined to the last extent where they
    /// follow it on the device too.
    pub(crate) fn append(&mut self, mut block: u32, run: Range<u64>) {
        let mut start = run.start;
        while start < run.end {
            let left = u32::try_from(run.end - start).unwrap_or(u32::MAX);
            let joins = self.extents.last_mut().filter(|last| {
                last.end() == u64::from(block)
                    && last.start + u64::from(last.len) == start
                    && last.len < MAX_LEN
                    && !last.unwritten
            });
            let room = joins.as_ref().map_or(MAX_LEN, |last| MAX_LEN - last.len);
            let len = u16::try_from(left).map_or(room, |left| left.min(room));
            match joins {
                Some(last) => last.len += len,
                None => self.extents.push(Extent { block, len, start, unwritten: false }),
            }
            block = block.saturating_add(u32::from(len));
            start += u64::from(len);
        }
    }

    /// Blocks of data and of the tree.
    pub(crate) fn blocks(&self) -> u64 {
        let data: u64 = self.extents.iter().map(|extent| u64::from(extent.len)).sum();
        data + self.nodes.len() as u64
    }

    /// The block on the device of a block of the file.
    pub(crate) fn block(&self, logical: u32) -> Option<u64> {
        let after = self.extents.partition_point(|extent| extent.block <= logical);
        let extent = self.extents.get(after.checked_sub(1)?)?;
        let within = logical - extent.block;
        (within < u32::from(extent.len)).then(|| extent.start + u64::from(within))
    }

    /// The next block of the file behind all it has, and the best place for it.
    pub(crate) fn end(&self) -> Option<(u32, u64)> {
        let last = self.extents.last()?;
        Some((u32::try_from(last.end()).ok()?, last.start + u64::from(last.len)))
    }
}

impl Volume {
    /// The checksum seed of an inode's own blocks, where there are checksums.
    pub(crate) fn seed(&self, ino: u32, inode: &Inode) -> Option<u32> {
        let checksums = self.checksums;
        checksums.metadata.then(|| checksums.inode_seed(ino, inode.i_generation()))
    }

    /// Reads the map of an inode that has one. One whose data lies inside it has no blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn load_map(&mut self, ino: u32, inode: &Inode) -> Result<FileMap> {
        if inode.has_flag(FLAG_INLINE_DATA) {
            return Ok(FileMap::default());
        }
        let map = if inode.has_flag(FLAG_EXTENTS) {
            self.load_extents(ino, inode)?
        } else {
            self.load_indirect_map(ino, inode)?
        };
        // Some of these blocks may be written: none of them may be somebody else's.
        let data = map.extents.iter().map(|e| e.start..e.start + u64::from(e.len));
        for run in data.chain(map.nodes.iter().map(|node| *node..*node + 1)) {
            let inside = self.geometry.is_data_block(run.start)
                && self.geometry.is_data_block(run.end.saturating_sub(1));
            if !inside || self.metadata.within(run.clone()).next().is_some() {
                let what = format!("inode {ino}: blocks {run:?} cannot be its");
                return Err(Error::Corrupt { what });
            }
        }
        Ok(map)
    }

    fn load_extents(&mut self, ino: u32, inode: &Inode) -> Result<FileMap> {
        let mut map = FileMap::default();
        let mut seen = HashSet::new();
        let root = ExtentNode::parse(&inode.i_block(), None, None)?;
        let seed = self.seed(ino, inode);
        self.gather(&root, seed, &mut map, &mut seen)?;
        let overlaps = |(a, b): (&Extent, &Extent)| a.end() > u64::from(b.block);
        if map.extents.iter().zip(map.extents.iter().skip(1)).any(overlaps) {
            return Err(Error::Corrupt { what: format!("inode {ino}: its extents overlap") });
        }
        Ok(map)
    }

    fn gather(
        &mut self,
        node: &ExtentNode,
        seed: Option<u32>,
        map: &mut FileMap,
        seen: &mut HashSet<u64>,
    ) -> Result<()> {
        match &node.entries {
            Entries::Leaf(extents) => map.extents.extend_from_slice(extents),
            Entries::Index(indexes) => {
                for index in indexes {
                    if !self.geometry.is_data_block(index.leaf) || !seen.insert(index.leaf) {
                        return Err(Error::Corrupt {
                            what: format!("extent node: block {} cannot be one", index.leaf),
                        });
                    }
                    let depth = node.depth.checked_sub(1);
                    let below = ExtentNode::parse(self.blocks.read(index.leaf)?, depth, seed)?;
                    map.nodes.push(index.leaf);
                    self.gather(&below, seed, map, seen)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the map into the inode, with a tree of as few blocks as hold it.
    /// Blocks of the old tree are used again, or freed.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the tree needs blocks that are not to be had.
    pub(crate) fn store_map(
        &mut self,
        ino: u32,
        inode: &mut Inode,
        map: &mut FileMap,
    ) -> Result<()> {
        if self.has_incompat(Incompat::EXTENTS) {
            self.store_extents(ino, inode, map)?;
        } else {
            self.store_indirect_map(inode, map)?;
        }
        self.count_blocks(inode, map);
        Ok(())
    }

    fn store_extents(&mut self, ino: u32, inode: &mut Inode, map: &mut FileMap) -> Result<()> {
        let seed = self.seed(ino, inode);
        let goal = map.end().map_or(0, |(_, goal)| goal);
        let mut spare = std::mem::take(&mut map.nodes).into_iter();
        let max = block_capacity(self.geometry.block_size);
        let mut depth = 0;
        let mut entries = Entries::Leaf(map.extents.clone());
        loop {
            let root = ExtentNode { max: ROOT_ENTRIES, depth, generation: 0, entries };
            if root.count() <= usize::from(ROOT_ENTRIES) {
                let mut bytes = [0; 60];
                root.encode_into(&mut bytes, None)?;
                inode.set_i_block(&bytes);
                break;
            }
            let mut above = Vec::new();
            for (first, entries) in pieces(root.entries, usize::from(max)) {
                let leaf = match spare.next() {
                    Some(block) => block,
                    None => self.allocate_block(goal)?,
                };
                let node = ExtentNode { max, depth, generation: 0, entries };
                node.encode_into(self.blocks.fresh(leaf)?, seed)?;
                map.nodes.push(leaf);
                above.push(ExtentIndex { block: first, leaf });
            }
            entries = Entries::Index(above);
            depth += 1;
        }
        for block in spare {
            self.free_run(block..block + 1)?;
        }
        inode.set_i_flags(inode.i_flags() | FLAG_EXTENTS);
        Ok(())
    }

    /// Sets `i_blocks` from what the inode has.
    pub(crate) fn count_blocks(&self, inode: &mut Inode, map: &FileMap) {
        let block_size = self.geometry.block_size;
        let blocks = map.blocks() + u64::from(inode.file_acl() != 0);
        inode.set_sectors(blocks * u64::from(block_size / 512), block_size);
    }

    /// Takes back everything a map has.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a block cannot be the file's.
    pub(crate) fn free_map(&mut self, map: &FileMap) -> Result<()> {
        for extent in &map.extents {
            self.free_run(extent.start..extent.start + u64::from(extent.len))?;
        }
        for node in &map.nodes {
            self.free_run(*node..*node + 1)?;
        }
        Ok(())
    }
}

/// Entries in pieces of at most `max`, each with the first block it covers.
fn pieces(entries: Entries, max: usize) -> Vec<(u32, Entries)> {
    match entries {
        Entries::Leaf(extents) => extents
            .chunks(max.max(1))
            .map(|piece| {
                (piece.first().map_or(0, |extent| extent.block), Entries::Leaf(piece.to_vec()))
            })
            .collect(),
        Entries::Index(indexes) => indexes
            .chunks(max.max(1))
            .map(|piece| {
                (piece.first().map_or(0, |index| index.block), Entries::Index(piece.to_vec()))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_join_the_last_extent_up_to_its_longest() {
        let mut map = FileMap::default();
        map.append(0, 100..40_000);
        map.append(39_900, 40_000..40_001);
        map.append(50_000, 40_001..40_002);
        let of = |block, len, start| Extent { block, len, start, unwritten: false };
        assert_eq!(
            map.extents,
            [of(0, 32_768, 100), of(32_768, 7133, 32_868), of(50_000, 1, 40_001)]
        );
        assert_eq!(map.block(32_768), Some(32_868));
        assert_eq!(map.block(39_900), Some(40_000));
        assert_eq!(map.block(39_901), None);
        assert_eq!(map.end(), Some((50_001, 40_002)));
        assert_eq!(map.blocks(), 39_902);
    }
}
