//! Rewriting a superblock so that a torn write leaves a valid one.
//!
//! A superblock is two sectors, and its checksum lies at the end of the second:
//! a device that stops between them leaves a checksum that fits neither. What a
//! batch changes lies in the first. So the bytes behind the string `s_last_mounted`,
//! which nobody reads, are chosen such that the checksum stays what it was, and the
//! second sector need not change at all.

use super::checksum::crc32c;
use super::features::RoCompat;
use super::superblock::{SUPERBLOCK_SIZE, Superblock};
use crate::le;

/// `s_last_mounted`, and its last four bytes.
const LAST_MOUNTED: usize = 0x88;
const FREE_BYTES: usize = 0xc4;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// Where the checksum lies: behind all that it covers.
const CHECKSUM: usize = SUPERBLOCK_SIZE - 4;

/// The bytes of `new`, to be written over `old`: only the first sector differs where
/// that can be had (no checksums, or none of the second sector's fields changed and
/// the string is short).
#[must_use]
pub fn encode_over(old: &Superblock, new: &Superblock) -> [u8; SUPERBLOCK_SIZE] {
    let encoded = new.encode();
    let before = old.encode();
    if !new.features().ro_compat.has(RoCompat::METADATA_CSUM) {
        return encoded;
    }
    let same_rest = encoded.get(SECTOR..CHECKSUM) == before.get(SECTOR..CHECKSUM);
    let string = encoded.get(LAST_MOUNTED..FREE_BYTES).unwrap_or_default();
    if !same_rest || !string.contains(&0) {
        return encoded;
    }
    let target: u32 = le::get_or_zero(&before, CHECKSUM);
    match free_bytes_for(&encoded, target) {
        Some(chosen) => {
            let mut sealed = encoded;
            le::put(&mut sealed, FREE_BYTES, chosen);
            le::put(&mut sealed, CHECKSUM, target);
            sealed
        }
        None => encoded,
    }
}

/// The free bytes with which the checksum becomes `target`. A crc is linear: each
/// bit of them flips a fixed pattern of the sum, and the patterns are solved for.
fn free_bytes_for(bytes: &[u8; SUPERBLOCK_SIZE], target: u32) -> Option<u32> {
    let sum_with = |free: u32| {
        let mut with = *bytes;
        le::put(&mut with, FREE_BYTES, free);
        crc32c(!0, with.get(..CHECKSUM).unwrap_or_default())
    };
    let base = sum_with(0);
    // Rows of (pattern, which bits make it), each with a leading bit of its own.
    let mut rows: Vec<(u32, u32)> = Vec::with_capacity(32);
    for bit in (0..32).map(|n| 1_u32 << n) {
        let row = reduce((sum_with(bit) ^ base, bit), &rows);
        if row.0 != 0 {
            rows.push(row);
        }
    }
    let (rest, bits) = reduce((base ^ target, 0), &rows);
    (rest == 0).then_some(bits)
}

/// Takes the leading bits of all rows, in the order they were found, out of one.
fn reduce(row: (u32, u32), rows: &[(u32, u32)]) -> (u32, u32) {
    rows.iter().fold(row, |row, known| {
        let leading = 1_u32 << known.0.ilog2();
        if row.0 & leading == 0 { row } else { (row.0 ^ known.0, row.1 ^ known.1) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_sector_changes_and_the_checksum_is_right() {
        let mut old = Superblock::blank();
        let mut features = old.features();
        features.ro_compat = RoCompat::METADATA_CSUM;
        old.set_features(features);
        for round in 1..50_u32 {
            let mut new = old.clone();
            new.set_s_free_inodes_count(round.wrapping_mul(0x9e37_79b9));
            new.set_s_wtime(round);
            let (before, after) = (old.encode(), encode_over(&old, &new));
            assert_eq!(before[SECTOR..], after[SECTOR..]);
            assert_ne!(before, after);
            let sum = crc32c(!0, &after[..CHECKSUM]);
            assert_eq!(le::get::<u32>(&after, CHECKSUM), Some(sum));
            old = new;
        }
    }
}
