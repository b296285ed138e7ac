//! Nodes of directory indexes: the root in block 0, interior nodes with a fake entry in front.

use super::checksum::crc32c;
use super::directory;
use crate::le;
use crate::{Error, Result};

/// Where the root's fixed part begins: behind `.` and `..`.
const ROOT_INFO: usize = 0x18;
/// Where the root's entries begin.
pub const ROOT_ENTRIES: usize = 0x20;
/// Where an interior node's entries begin.
pub const NODE_ENTRIES: usize = 0x08;
/// Bytes of an entry and of the checksum behind the last possible one.
const ENTRY_SIZE: usize = 8;

/// A pointer of the index. The first of a node has no hash of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DxEntry {
    /// Lowest hash below; the lowest bit marks a collision with the one before.
    pub hash: u32,
    /// Block of the directory (its low 28 bits count).
    pub block: u32,
}

/// The entries of a root or an interior node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DxNode {
    /// Entries that fit.
    pub limit: u16,
    /// What it holds; the first entry's hash is 0.
    pub entries: Vec<DxEntry>,
}

/// The root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DxRoot {
    /// Inode of the parent directory.
    pub parent: u32,
    /// `hash_version`.
    pub hash_version: u8,
    /// `indirect_levels`: 0 points to leaves.
    pub indirect_levels: u8,
    /// `unused_flags`.
    pub unused_flags: u8,
    /// The entries.
    pub node: DxNode,
}

/// Entries that fit a node whose entries begin at `start`.
#[must_use]
pub fn limit(block_size: u32, start: usize, checksums: bool) -> u16 {
    let tail = if checksums { ENTRY_SIZE } else { 0 };
    let room = (block_size as usize).saturating_sub(start + tail) / ENTRY_SIZE;
    room.try_into().unwrap_or(u16::MAX)
}

impl DxRoot {
    /// Reads the root from block 0 of a directory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an impossible root or a wrong checksum.
    pub fn parse(block: &[u8], inode_seed: Option<u32>) -> Result<Self> {
        let info: u8 = le::get_or_zero(block, ROOT_INFO + 5);
        let reserved: u32 = le::get_or_zero(block, ROOT_INFO);
        if info != 8 || reserved != 0 {
            return Err(corrupt("the root's fixed part is damaged"));
        }
        let new = Self {
            parent: le::get_or_zero(block, 12),
            hash_version: le::get_or_zero(block, ROOT_INFO + 4),
            indirect_levels: le::get_or_zero(block, ROOT_INFO + 6),
            unused_flags: le::get_or_zero(block, ROOT_INFO + 7),
            node: DxNode::parse_at(block, ROOT_ENTRIES, inode_seed)?,
        };
        if new.indirect_levels > 2 {
            return Err(corrupt("the root has too many levels below"));
        }
        Ok(new)
    }

    /// A whole block 0: `.`, `..`, the fixed part, the entries, the checksum. `types` says
    /// whether entries carry a type (the feature `filetype`).
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the entries do not fit.
    pub fn encode_into(
        &self,
        block: &mut [u8],
        own: u32,
        types: bool,
        inode_seed: Option<u32>,
    ) -> Result<()> {
        let rest = block.len().saturating_sub(12);
        let kind = if types { 2 } else { 0 };
        let placed = directory::put_entry(block, 0, 12, own, kind, b".")
            && directory::put_entry(block, 12, rest, self.parent, kind, b"..");
        le::put(block, ROOT_INFO, 0u32);
        le::put(block, ROOT_INFO + 4, self.hash_version);
        le::put(block, ROOT_INFO + 5, 8u8);
        le::put(block, ROOT_INFO + 6, self.indirect_levels);
        le::put(block, ROOT_INFO + 7, self.unused_flags);
        if !placed {
            return Err(corrupt("the root does not fit its block"));
        }
        self.node.encode_at(block, ROOT_ENTRIES, inode_seed)
    }
}

impl DxNode {
    /// Reads an interior node.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an impossible node or a wrong checksum.
    pub fn parse(block: &[u8], inode_seed: Option<u32>) -> Result<Self> {
        let fake: u32 = le::get_or_zero(block, 0);
        if fake != 0 {
            return Err(corrupt("the node does not begin with an empty entry"));
        }
        Self::parse_at(block, NODE_ENTRIES, inode_seed)
    }

    /// A whole interior node: the fake entry, the entries, the checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the entries do not fit.
    pub fn encode_into(&self, block: &mut [u8], inode_seed: Option<u32>) -> Result<()> {
        let stored = directory::encode_rec_len(block.len(), block.len());
        le::put(block, 0, 0u32);
        le::put(block, 4, stored);
        le::put(block, 6, 0u16);
        self.encode_at(block, NODE_ENTRIES, inode_seed)
    }

    fn parse_at(block: &[u8], start: usize, inode_seed: Option<u32>) -> Result<Self> {
        let own_limit: u16 = le::get_or_zero(block, start);
        let count: u16 = le::get_or_zero(block, start + 2);
        let fits = limit(block.len() as u32, start, inode_seed.is_some());
        if own_limit != fits || count == 0 || count > own_limit {
            return Err(corrupt("the number of index entries is impossible"));
        }
        if let Some(seed) = inode_seed {
            let stored: Option<u32> = le::get(block, tail_offset(start, own_limit) + 4);
            if stored != Some(checksum(block, start, own_limit, count, seed)) {
                return Err(corrupt("the index's checksum is wrong"));
            }
        }
        let entries: Vec<DxEntry> = (0..usize::from(count))
            .map(|n| DxEntry {
                // The first entry's hash is where limit and count lie.
                hash: if n == 0 { 0 } else { le::get_or_zero(block, start + ENTRY_SIZE * n) },
                block: le::get_or_zero(block, start + ENTRY_SIZE * n + 4),
            })
            .collect();
        if entries.iter().zip(entries.iter().skip(1)).any(|(a, b)| a.hash > b.hash) {
            return Err(corrupt("the index is not in order"));
        }
        Ok(Self { limit: own_limit, entries })
    }

    fn encode_at(&self, block: &mut [u8], start: usize, inode_seed: Option<u32>) -> Result<()> {
        let fits = limit(block.len() as u32, start, inode_seed.is_some());
        if self.limit != fits || self.entries.is_empty() || self.entries.len() > fits.into() {
            return Err(corrupt("the index entries do not fit their block"));
        }
        let count = self.entries.len() as u16;
        for (n, entry) in self.entries.iter().enumerate() {
            le::put(block, start + ENTRY_SIZE * n, entry.hash);
            le::put(block, start + ENTRY_SIZE * n + 4, entry.block);
        }
        le::put(block, start, self.limit);
        le::put(block, start + 2, count);
        if let Some(seed) = inode_seed {
            let tail = tail_offset(start, self.limit);
            le::put(block, tail, 0u32);
            let sum = checksum(block, start, self.limit, count, seed);
            le::put(block, tail + 4, sum);
        }
        Ok(())
    }

    /// The entry that covers `hash`: the last whose own hash is not larger.
    #[must_use]
    pub fn position(&self, hash: u32) -> usize {
        self.entries.partition_point(|entry| entry.hash <= hash).saturating_sub(1)
    }
}

fn tail_offset(start: usize, limit: u16) -> usize {
    start + ENTRY_SIZE * usize::from(limit)
}

/// Over the entries in use, then the tail with its checksum as zero.
fn checksum(block: &[u8], start: usize, limit: u16, count: u16, seed: u32) -> u32 {
    let used = block.get(..start + ENTRY_SIZE * usize::from(count)).unwrap_or_default();
    let tail = tail_offset(start, limit);
    let reserved = block.get(tail..tail + 4).unwrap_or_default();
    crc32c(crc32c(crc32c(seed, used), reserved), &[0; 4])
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("directory index: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_comes_back_as_it_was_written() {
        let root = DxRoot {
            parent: 2,
            hash_version: 1,
            indirect_levels: 0,
            unused_flags: 0,
            node: DxNode {
                limit: limit(1024, ROOT_ENTRIES, true),
                entries: vec![
                    DxEntry { hash: 0, block: 1 },
                    DxEntry { hash: 100, block: 2 },
                    DxEntry { hash: 101, block: 3 },
                ],
            },
        };
        let mut block = vec![0; 1024];
        root.encode_into(&mut block, 12, true, Some(3)).unwrap();
        assert_eq!(DxRoot::parse(&block, Some(3)).unwrap(), root);
        assert!(DxRoot::parse(&block, Some(4)).is_err());
        assert_eq!(root.node.position(99), 0);
        assert_eq!(root.node.position(100), 1);
        assert_eq!(root.node.position(u32::MAX), 2);
    }

    #[test]
    fn an_interior_node_comes_back_as_it_was_written() {
        let node = DxNode {
            limit: limit(4096, NODE_ENTRIES, false),
            entries: vec![DxEntry { hash: 0, block: 9 }],
        };
        let mut block = vec![0; 4096];
        node.encode_into(&mut block, None).unwrap();
        assert_eq!(DxNode::parse(&block, None).unwrap(), node);
        assert!(DxNode::parse(&block, Some(1)).is_err());
    }
}
