//! Lookup through a directory's hash tree.

use super::Filesystem;
use crate::Result;
use crate::layout::features::Compat;
use crate::layout::hash::{HashVersion, Hasher};
use crate::layout::htree::{DxEntry, DxNode, DxRoot};
use crate::layout::inode::{FLAG_CASEFOLD, FLAG_INDEX, FLAG_INLINE_DATA, Inode};
use crate::layout::superblock::FLAG_UNSIGNED_HASH;

/// Block numbers of an index have 28 bits.
const BLOCK_MASK: u32 = 0x0fff_ffff;

/// One level on the way to a leaf: its entries and the one taken.
struct Level {
    entries: Vec<DxEntry>,
    taken: usize,
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

    /// The answer of a directory's index; none when it has none that can be used.
    pub(super) fn lookup_indexed(
        &self,
        ino: u32,
        inode: &Inode,
        name: &[u8],
    ) -> Result<Option<Option<u32>>> {
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
        let (hash, _) = hasher.hash(name);
        let depth = usize::from(root.indirect_levels) + 1;
        let taken = root.node.position(hash);
        let mut levels = vec![Level { entries: root.node.entries, taken }];
        loop {
            while levels.len() < depth {
                let block = blocks.block(current(&levels))?;
                let node = DxNode::parse(&block, seed)?;
                let taken = node.position(hash);
                levels.push(Level { entries: node.entries, taken });
            }
            let leaf = blocks.block(current(&levels))?;
            if let Some(seed) = seed {
                crate::layout::directory::check_tail(&leaf, seed)?;
            }
            if let Some(found) = self.find_in_block(&leaf, name)? {
                return Ok(Some(Some(found)));
            }
            // Names of one hash may go on in the next leaf, which says so in
            // the lowest bit of its own hash.
            if !step(&mut levels, hash) {
                return Ok(Some(None));
            }
        }
    }
}

fn current(levels: &[Level]) -> u64 {
    let entry = levels.last().and_then(|level| level.entries.get(level.taken));
    entry.map_or(u64::MAX, |entry| u64::from(entry.block & BLOCK_MASK))
}

/// Moves to the next leaf if it continues `hash`. Every step takes a later
/// entry of some level, so steps end.
fn step(levels: &mut Vec<Level>, hash: u32) -> bool {
    while let Some(level) = levels.last_mut() {
        level.taken += 1;
        match level.entries.get(level.taken) {
            Some(entry) => return entry.hash == hash | 1,
            None => levels.truncate(levels.len() - 1),
        }
    }
    false
}
