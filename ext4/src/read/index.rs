//! Lookup through a directory's hash tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Filesystem;
use super::directory::DirectoryBlocks;
use crate::Result;
use crate::layout::features::Compat;
use crate::layout::hash::{HashVersion, Hasher};
use crate::layout::htree::{DxEntry, DxNode, DxRoot};
use crate::layout::inode::{FLAG_CASEFOLD, FLAG_INDEX, FLAG_INLINE_DATA, Inode};
use crate::layout::superblock::FLAG_UNSIGNED_HASH;

/// Block numbers of an index have 28 bits.
const BLOCK_MASK: u32 = 0x0fff_ffff;

/// One level on the way to a leaf: its node (the root is 0) and the entry taken.
struct Level {
    node: u64,
    taken: usize,
}

/// The index of a directory, of which each node is read once.
pub(crate) struct Index<'a> {
    blocks: DirectoryBlocks<'a>,
    seed: Option<u32>,
    hasher: Hasher,
    depth: usize,
    nodes: HashMap<u64, DxNode>,
}

impl Filesystem {
    /// How a directory whose root names `version` hashes; none for a function
    /// that is not known.
    #[must_use]
    pub fn hasher(&self, version: u8) -> Option<Hasher> {
        let (version, unsigned): (HashVersion, bool) = HashVersion::from_disk(version)?;
        let unsigned = unsigned || self.superblock().s_flags() & FLAG_UNSIGNED_HASH != 0;
        Some(Hasher { version, unsigned, seed: self.superblock().hash_seed() })
    }

    /// The index of a directory; none when it has none that can be used.
    ///
    /// # Errors
    /// What reading meets.
    pub(crate) fn index(&self, ino: u32, inode: &Inode) -> Result<Option<Index<'_>>> {
        let indexed = inode.has_flag(FLAG_INDEX)
            && !inode.has_flag(FLAG_INLINE_DATA)
            && !inode.has_flag(FLAG_CASEFOLD)
            && self.superblock().features().compat.has(Compat::DIR_INDEX);
        if !indexed {
            return Ok(None);
        }
        let seed = self.inode_seed(ino, inode);
        let mut blocks = self.directory_blocks(ino, inode)?;
        let root = DxRoot::parse(&blocks.block(0)?, seed)?;
        let Some(hasher) = self.hasher(root.hash_version) else { return Ok(None) };
        let depth = usize::from(root.indirect_levels) + 1;
        let nodes = HashMap::from([(0, root.node)]);
        Ok(Some(Index { blocks, seed, hasher, depth, nodes }))
    }

    /// The answer of a directory's index; none when it has none that can be used.
    pub(super) fn lookup_indexed(
        &self,
        ino: u32,
        inode: &Inode,
        name: &[u8],
    ) -> Result<Option<Option<u32>>> {
        self.index(ino, inode)?.map(|mut index| index.find(name)).transpose()
    }
}

impl Index<'_> {
    /// The inode that the directory has under `name`, if any.
    ///
    /// # Errors
    /// What reading meets.
    pub(crate) fn find(&mut self, name: &[u8]) -> Result<Option<u32>> {
        let (hash, _) = self.hasher.hash(name);
        let taken = self.nodes.get(&0).map_or(0, |root| root.position(hash));
        let mut levels = vec![Level { node: 0, taken }];
        loop {
            while levels.len() < self.depth {
                let number = self.current(&levels);
                let node = match self.nodes.entry(number) {
                    Entry::Occupied(node) => node.into_mut(),
                    Entry::Vacant(place) => {
                        place.insert(DxNode::parse(&self.blocks.block(number)?, self.seed)?)
                    }
                };
                let taken = node.position(hash);
                levels.push(Level { node: number, taken });
            }
            let leaf = self.blocks.block(self.current(&levels))?;
            if let Some(seed) = self.seed {
                crate::layout::directory::check_tail(&leaf, seed)?;
            }
            if let Some(found) = self.blocks.filesystem().find_in_block(&leaf, name)? {
                return Ok(Some(found));
            }
            // Names of one hash may go on in the next leaf, which says so in
            // the lowest bit of its own hash.
            if !self.step(&mut levels, hash) {
                return Ok(None);
            }
        }
    }

    fn entry(&self, level: &Level) -> Option<&DxEntry> {
        self.nodes.get(&level.node)?.entries.get(level.taken)
    }

    fn current(&self, levels: &[Level]) -> u64 {
        let entry = levels.last().and_then(|level| self.entry(level));
        entry.map_or(u64::MAX, |entry| u64::from(entry.block & BLOCK_MASK))
    }

    /// Moves to the next leaf if it continues `hash`. Every step takes a later
    /// entry of some level, so steps end.
    fn step(&self, levels: &mut Vec<Level>, hash: u32) -> bool {
        while let Some(level) = levels.last_mut() {
            level.taken += 1;
            match self.entry(level) {
                Some(entry) => return entry.hash == hash | 1,
                None => levels.truncate(levels.len() - 1),
            }
        }
        false
    }
}
