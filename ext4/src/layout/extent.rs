//! Extent tree nodes: a header of 12 bytes, entries of 12 bytes, a checksum behind the last possible entry.

use super::checksum::crc32c;
use crate::le;
use crate::{Error, Result};

/// `eh_magic`.
pub const EXTENT_MAGIC: u16 = 0xf30a;
/// Bytes of the header and of every entry.
pub const ENTRY_SIZE: usize = 12;
/// Entries of the root in an inode's `i_block`.
pub const ROOT_ENTRIES: u16 = 4;
/// The deepest tree that the kernel accepts.
pub const MAX_DEPTH: u16 = 5;
/// Longest extent with data, in blocks.
pub const MAX_LEN: u16 = 32_768;
/// Longest unwritten extent, in blocks.
pub const MAX_UNWRITTEN_LEN: u16 = 32_767;

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// `ee_block`: first block of the file.
    pub block: u32,
    /// `ee_len`: blocks, at most 32,768 and at least 1.
    pub len: u16,
    /// `ee_start`: first block on the device, 48 bits.
    pub start: u64,
    /// Allocated but reads as zero.
    pub unwritten: bool,
}

impl Extent {
    /// The block of the file behind the last one; may be 2^32.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.block) + u64::from(self.len)
    }
}

/// A pointer to a node one level down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentIndex {
    /// `ei_block`: first block of the file that the node covers.
    pub block: u32,
    /// `ei_leaf`: the node's block, 48 bits.
    pub leaf: u64,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entries {
    /// Depth 0.
    Leaf(Vec<Extent>),
    /// Depth above 0.
    Index(Vec<ExtentIndex>),
}

/// A validated node: entries ascending, not overlapping, no more than fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentNode {
    /// `eh_max`: entries that fit.
    pub max: u16,
    /// `eh_depth`: 0 is a leaf.
    pub depth: u16,
    /// `eh_generation`: unused, kept.
    pub generation: u32,
    /// What it holds.
    pub entries: Entries,
}

/// Entries that fit a block, with room for the checksum.
#[must_use]
pub fn block_capacity(block_size: u32) -> u16 {
    (block_size.saturating_sub(ENTRY_SIZE as u32) / ENTRY_SIZE as u32)
        .try_into()
        .unwrap_or(u16::MAX)
}

impl ExtentNode {
    /// An empty root for an inode.
    #[must_use]
    pub fn empty_root() -> Self {
        Self { max: ROOT_ENTRIES, depth: 0, generation: 0, entries: Entries::Leaf(Vec::new()) }
    }

    /// Reads a node from `i_block` or a block. `depth` is what the parent
    /// promised; `seed` is the inode's checksum seed for nodes in blocks of
    /// a filesystem with checksums.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for anything that could not have been written by a sane system.
    pub fn parse(bytes: &[u8], depth: Option<u16>, seed: Option<u32>) -> Result<Self> {
        let header = |offset| le::get::<u16>(bytes, offset).unwrap_or_default();
        let (magic, count, max, own_depth) = (header(0), header(2), header(4), header(6));
        if magic != EXTENT_MAGIC {
            return Err(corrupt(&format!("magic {magic:#06x} is wrong")));
        }
        let room = bytes.len().saturating_sub(ENTRY_SIZE) / ENTRY_SIZE;
        if count > max || usize::from(max) > room {
            return Err(corrupt(&format!("{count} of {max} entries in room for {room}")));
        }
        if own_depth > MAX_DEPTH || depth.is_some_and(|depth| depth != own_depth) {
            return Err(corrupt(&format!("depth {own_depth} is not what its parent says")));
        }
        if let Some(seed) = seed {
            check_tail(bytes, max, seed)?;
        }
        let rows = bytes.get(ENTRY_SIZE..).unwrap_or_default().chunks_exact(ENTRY_SIZE);
        let rows = rows.take(count.into());
        let entries = if own_depth == 0 {
            Entries::Leaf(rows.map(read_extent).collect())
        } else {
            Entries::Index(rows.map(read_index).collect())
        };
        let node = Self { max, depth: own_depth, generation: le::get_or_zero(bytes, 8), entries };
        node.check_order()?;
        Ok(node)
    }

    fn check_order(&self) -> Result<()> {
        match &self.entries {
            Entries::Leaf(extents) => {
                let mut free_from = 0;
                for extent in extents {
                    if extent.len == 0 || u64::from(extent.block) < free_from {
                        return Err(corrupt(&format!("extent at {} overlaps", extent.block)));
                    }
                    free_from = extent.end();
                }
                if free_from > 1 << 32 {
                    return Err(corrupt("extent beyond the last block of a file"));
                }
            }
            Entries::Index(indexes) => {
                if indexes.is_empty() {
                    return Err(corrupt("index node without entries"));
                }
                let ascending =
                    indexes.iter().zip(indexes.iter().skip(1)).all(|(a, b)| a.block < b.block);
                if !ascending {
                    return Err(corrupt("index entries do not ascend"));
                }
            }
        }
        Ok(())
    }

    /// Number of entries.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.entries {
            Entries::Leaf(extents) => extents.len(),
            Entries::Index(indexes) => indexes.len(),
        }
    }

    /// Writes the node into `i_block` or a block, the checksum too when there
    /// is a `seed`. Bytes behind the last entry are left as they are.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the entries do not fit.
    pub fn encode_into(&self, bytes: &mut [u8], seed: Option<u32>) -> Result<()> {
        let end = ENTRY_SIZE + self.count() * ENTRY_SIZE;
        if self.count() > usize::from(self.max) || end > bytes.len() {
            return Err(corrupt(&format!("{} entries do not fit", self.count())));
        }
        le::put(bytes, 0, EXTENT_MAGIC);
        le::put(bytes, 2, self.count() as u16);
        le::put(bytes, 4, self.max);
        le::put(bytes, 6, self.depth);
        le::put(bytes, 8, self.generation);
        match &self.entries {
            Entries::Leaf(extents) => {
                for (n, extent) in extents.iter().enumerate() {
                    let at = ENTRY_SIZE * (n + 1);
                    let len = if extent.unwritten {
                        MAX_LEN | extent.len.min(MAX_UNWRITTEN_LEN)
                    } else {
                        extent.len
                    };
                    le::put(bytes, at, extent.block);
                    le::put(bytes, at + 4, len);
                    le::put(bytes, at + 6, (extent.start >> 32) as u16);
                    le::put(bytes, at + 8, extent.start as u32);
                }
            }
            Entries::Index(indexes) => {
                for (n, index) in indexes.iter().enumerate() {
                    let at = ENTRY_SIZE * (n + 1);
                    le::put(bytes, at, index.block);
                    le::put(bytes, at + 4, index.leaf as u32);
                    le::put(bytes, at + 8, (index.leaf >> 32) as u16);
                    le::put(bytes, at + 10, 0u16);
                }
            }
        }
        if let Some(seed) = seed {
            let tail = tail_offset(self.max);
            let covered = bytes.get(..tail).unwrap_or_default();
            let sum = crc32c(seed, covered);
            if !le::put(bytes, tail, sum) {
                return Err(corrupt("no room for the checksum"));
            }
        }
        Ok(())
    }
}

/// The checksum follows the last entry that fits, not the block's end.
fn tail_offset(max: u16) -> usize {
    ENTRY_SIZE + ENTRY_SIZE * usize::from(max)
}

fn check_tail(bytes: &[u8], max: u16, seed: u32) -> Result<()> {
    let tail = tail_offset(max);
    let stored: Option<u32> = le::get(bytes, tail);
    let covered = bytes.get(..tail).unwrap_or_default();
    if stored == Some(crc32c(seed, covered)) {
        return Ok(());
    }
    Err(corrupt("its checksum is wrong"))
}

fn read_extent(row: &[u8]) -> Extent {
    let len: u16 = le::get_or_zero(row, 4);
    let unwritten = len > MAX_LEN;
    let high: u16 = le::get_or_zero(row, 6);
    let low: u32 = le::get_or_zero(row, 8);
    Extent {
        block: le::get_or_zero(row, 0),
        len: if unwritten { len - MAX_LEN } else { len },
        start: u64::from(low) | u64::from(high) << 32,
        unwritten,
    }
}

fn read_index(row: &[u8]) -> ExtentIndex {
    let low: u32 = le::get_or_zero(row, 4);
    let high: u16 = le::get_or_zero(row, 8);
    ExtentIndex { block: le::get_or_zero(row, 0), leaf: u64::from(low) | u64::from(high) << 32 }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("extent node: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_comes_back_as_it_was_written_and_its_checksum_guards_it() {
        let node = ExtentNode {
            max: block_capacity(1024),
            depth: 0,
            generation: 7,
            entries: Entries::Leaf(vec![
                Extent { block: 0, len: MAX_LEN, start: 5, unwritten: false },
                Extent { block: 40_000, len: 3, start: 0x1234_5678_9abc, unwritten: true },
            ]),
        };
        let mut block = vec![0; 1024];
        node.encode_into(&mut block, Some(9)).unwrap();
        assert_eq!(ExtentNode::parse(&block, Some(0), Some(9)).unwrap(), node);
        assert!(ExtentNode::parse(&block, Some(1), Some(9)).is_err());
        block[20] ^= 1;
        assert!(ExtentNode::parse(&block, Some(0), Some(9)).is_err());
    }

    #[test]
    fn overlapping_extents_are_refused() {
        let node = ExtentNode {
            entries: Entries::Leaf(vec![
                Extent { block: 0, len: 5, start: 5, unwritten: false },
                Extent { block: 4, len: 3, start: 50, unwritten: false },
            ]),
            ..ExtentNode::empty_root()
        };
        let mut block = [0; 60];
        node.encode_into(&mut block, None).unwrap();
        assert!(ExtentNode::parse(&block, Some(0), None).is_err());
    }
}
