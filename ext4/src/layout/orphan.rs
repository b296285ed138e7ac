//! Blocks of the orphan file: inode numbers, then a magic and a checksum.

use super::checksum::crc32c;
use crate::le;
use crate::{Error, Result};

/// `ob_magic`.
pub const ORPHAN_MAGIC: u32 = 0x0b10_ca04;

/// Inode numbers that fit a block.
#[must_use]
pub fn capacity(block_size: u32) -> usize {
    (block_size as usize).saturating_sub(8) / 4
}

/// The orphans that a block lists. `inode_seed` (with checksums) is that of
/// the orphan file; the block's own number is mixed in.
///
/// # Errors
/// [`Error::Corrupt`] for a wrong magic or checksum.
pub fn parse(block: &[u8], number: u64, inode_seed: Option<u32>) -> Result<Vec<u32>> {
    let tail = capacity(block.len() as u32) * 4;
    let magic: Option<u32> = le::get(block, tail);
    let stored: Option<u32> = le::get(block, tail + 4);
    if magic != Some(ORPHAN_MAGIC) {
        return Err(corrupt("its magic is wrong"));
    }
    if inode_seed.is_some_and(|seed| stored != Some(checksum(block, number, seed))) {
        return Err(corrupt("its checksum is wrong"));
    }
    let (numbers, _) = block.split_at(tail);
    Ok(numbers
        .chunks_exact(4)
        .map(|word| le::get_or_zero(word, 0))
        .filter(|ino| *ino != 0)
        .collect())
}

/// Makes the block an empty one.
pub fn put_empty(block: &mut [u8], number: u64, inode_seed: Option<u32>) {
    block.fill(0);
    let tail = capacity(block.len() as u32) * 4;
    le::put(block, tail, ORPHAN_MAGIC);
    if let Some(seed) = inode_seed {
        let sum = checksum(block, number, seed);
        le::put(block, tail + 4, sum);
    }
}

fn checksum(block: &[u8], number: u64, seed: u32) -> u32 {
    let numbers = block.get(..capacity(block.len() as u32) * 4).unwrap_or_default();
    crc32c(crc32c(seed, &number.to_le_bytes()), numbers)
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("orphan file block: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_block_lists_nobody_and_is_bound_to_its_place() {
        let mut block = vec![9; 1024];
        put_empty(&mut block, 77, Some(5));
        assert_eq!(parse(&block, 77, Some(5)).unwrap(), []);
        assert!(parse(&block, 78, Some(5)).is_err());
        le::put(&mut block, 4, 12u32);
        assert_eq!(parse(&block, 77, None).unwrap(), [12]);
        assert!(parse(&block, 77, Some(5)).is_err());
    }
}
