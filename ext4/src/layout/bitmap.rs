//! Block and inode bitmaps: bit operations and the checksums that descriptors hold.

use super::checksum::{Checksums, crc32c};
use super::group::GroupDescriptor;
use crate::{Error, Result};

/// True when bit `index` is set; bits beyond the buffer count as set, so
/// that nothing is ever taken from there.
#[must_use]
pub fn is_set(bitmap: &[u8], index: u32) -> bool {
    bitmap.get(index as usize / 8).is_none_or(|byte| byte >> (index % 8) & 1 == 1)
}

/// Sets bit `index`, if the buffer has it.
pub fn set(bitmap: &mut [u8], index: u32) {
    if let Some(byte) = bitmap.get_mut(index as usize / 8) {
        *byte |= 1 << (index % 8);
    }
}

/// Clears bit `index`, if the buffer has it.
pub fn clear(bitmap: &mut [u8], index: u32) {
    if let Some(byte) = bitmap.get_mut(index as usize / 8) {
        *byte &= !(1 << (index % 8));
    }
}

/// Sets the bits of a range, whole bytes at once where it can.
pub fn set_range(bitmap: &mut [u8], range: std::ops::Range<u32>) {
    let mut index = range.start;
    while index < range.end {
        if index.is_multiple_of(8) && range.end - index >= 8 {
            if let Some(byte) = bitmap.get_mut(index as usize / 8) {
                *byte = 0xff;
            }
            index += 8;
        } else {
            set(bitmap, index);
            index += 1;
        }
    }
}

/// Clear bits among the first `len`.
#[must_use]
pub fn count_clear(bitmap: &[u8], len: u32) -> u32 {
    let whole = len as usize / 8;
    let used: u32 = bitmap.iter().take(whole).map(|byte| byte.count_ones()).sum();
    let rest = (whole as u32 * 8..len).filter(|index| is_set(bitmap, *index)).count() as u32;
    len - used.min(len) - rest
}

fn computed(bitmap: &[u8], bits: u32, checksums: &Checksums, descriptor_size: u16) -> u32 {
    let covered = bitmap.get(..bits as usize / 8).unwrap_or_default();
    let full = crc32c(checksums.seed, covered);
    if descriptor_size >= 64 { full } else { full & 0xffff }
}

/// Checks a block bitmap of `clusters_per_group` bits against its descriptor.
///
/// # Errors
/// [`Error::Corrupt`] when the checksum is wrong.
pub fn check_block_bitmap(
    bitmap: &[u8],
    clusters_per_group: u32,
    descriptor: &GroupDescriptor,
    checksums: &Checksums,
) -> Result<()> {
    let sum = computed(bitmap, clusters_per_group, checksums, descriptor.size());
    if checksums.metadata && sum != descriptor.block_bitmap_csum() {
        return Err(Error::Corrupt { what: "block bitmap: its checksum is wrong".to_owned() });
    }
    Ok(())
}

/// Puts the checksum of a block bitmap into its descriptor.
pub fn sum_block_bitmap(
    bitmap: &[u8],
    clusters_per_group: u32,
    descriptor: &mut GroupDescriptor,
    checksums: &Checksums,
) {
    if checksums.metadata {
        let sum = computed(bitmap, clusters_per_group, checksums, descriptor.size());
        descriptor.set_block_bitmap_csum(sum);
    }
}

/// Checks an inode bitmap of `inodes_per_group` bits against its descriptor.
///
/// # Errors
/// [`Error::Corrupt`] when the checksum is wrong.
pub fn check_inode_bitmap(
    bitmap: &[u8],
    inodes_per_group: u32,
    descriptor: &GroupDescriptor,
    checksums: &Checksums,
) -> Result<()> {
    let sum = computed(bitmap, inodes_per_group, checksums, descriptor.size());
    if checksums.metadata && sum != descriptor.inode_bitmap_csum() {
        return Err(Error::Corrupt { what: "inode bitmap: its checksum is wrong".to_owned() });
    }
    Ok(())
}

/// Puts the checksum of an inode bitmap into its descriptor.
pub fn sum_inode_bitmap(
    bitmap: &[u8],
    inodes_per_group: u32,
    descriptor: &mut GroupDescriptor,
    checksums: &Checksums,
) {
    if checksums.metadata {
        let sum = computed(bitmap, inodes_per_group, checksums, descriptor.size());
        descriptor.set_inode_bitmap_csum(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_cleared_and_counted() {
        let mut map = [0; 4];
        set_range(&mut map, 3..21);
        assert!(!is_set(&map, 2) && is_set(&map, 3) && is_set(&map, 20) && !is_set(&map, 21));
        assert_eq!(count_clear(&map, 32), 14);
        assert_eq!(count_clear(&map, 4), 3);
        clear(&mut map, 10);
        assert_eq!(count_clear(&map, 32), 15);
        assert!(is_set(&map, 32));
        set(&mut map, 4000);
    }
}
