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
    let mut sealed = encoded;
    le::put(&mut sealed, FREE_BYTES, free_bytes_for(&encoded, target));
    le::put(&mut sealed, CHECKSUM, target);
    sealed
}

/// The free bytes that flip each bit of the checksum, whatever the other bytes are: a crc is
/// linear, and can be run backwards.
const FLIPS: [u32; 32] = {
    /// crc32c's polynomial, as bits go through it from the lowest on.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut flips = [0; 32];
    let mut bit = 0;
    while bit < 32 {
        // From the checksum back over zeros, and over the free bytes themselves.
        let (mut sum, mut left) = (1 << bit, (CHECKSUM - FREE_BYTES) * 8);
        while left > 0 {
            sum = if sum >> 31 == 1 { (sum ^ POLYNOMIAL) << 1 | 1 } else { sum << 1 };
            left -= 1;
        }
        flips[bit] = sum;
        bit += 1;
    }
    flips
};

/// The free bytes with which the checksum becomes `target`.
fn free_bytes_for(bytes: &[u8; SUPERBLOCK_SIZE], target: u32) -> u32 {
    let mut without = *bytes;
    le::put(&mut without, FREE_BYTES, 0_u32);
    let wrong = crc32c(!0, without.get(..CHECKSUM).unwrap_or_default()) ^ target;
    let bits = (0..).zip(FLIPS).filter(|(bit, _)| wrong >> bit & 1 == 1);
    bits.fold(0, |chosen, (_, flip)| chosen ^ flip)
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
