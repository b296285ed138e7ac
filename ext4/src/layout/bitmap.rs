//! Block and inode bitmaps: bit operations and the checksums that descriptors hold.

use std::ops::Range;

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

/// Sets the bits of a range that the buffer has, whole bytes at once where it can.
pub fn set_range(bitmap: &mut [u8], range: Range<u32>) {
    let (mut start, mut end) = (range.start, range.end);
    while start < end && start % 8 != 0 {
        set(bitmap, start);
        start += 1;
    }
    while start < end && end % 8 != 0 {
        end -= 1;
        set(bitmap, end);
    }
    let last = bitmap.len().min(end as usize / 8);
    if let Some(bytes) = bitmap.get_mut(start as usize / 8..last) {
        bytes.fill(0xff);
    }
}

/// The bits in pieces of 64; what is missing at the end counts as clear.
fn words(bitmap: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bitmap.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let last = (!rest.is_empty()).then_some(last);
    whole.iter().copied().chain(last).map(u64::from_le_bytes)
}

/// The bits of word `number` that lie in a range of bits.
fn part_of_word(number: u32, range: &Range<u32>) -> u64 {
    let first = number.saturating_mul(64);
    let below = |bit: u32| match bit.saturating_sub(first) {
        0 => 0,
        bits @ 1..64 => (1 << bits) - 1,
        _ => u64::MAX,
    };
    below(range.end) & !below(range.start)
}

/// The 64-bit words that lie among the first `len` bits as a whole, and how many bits those have.
fn whole_words(bitmap: &[u8], len: u32) -> (&[[u8; 8]], u32) {
    let (whole, _) = bitmap.as_chunks::<8>();
    let whole = whole.get(..len as usize / 64).unwrap_or(whole);
    (whole, whole.len() as u32 * 64)
}

/// Words that are looked at together.
const WORDS: usize = 32;

/// Clear bits among the first `len`.
#[must_use]
pub fn count_clear(bitmap: &[u8], len: u32) -> u32 {
    let (whole, bits) = whole_words(bitmap, len);
    // Far from going over, and several at once where that is not looked for.
    let count =
        |sum: u32, word: &[u8; 8]| sum.wrapping_add(u64::from_le_bytes(*word).count_zeros());
    // Most of a bitmap is full, which is seen sooner.
    let full = |piece: &&[[u8; 8]]| {
        piece.iter().fold(u64::MAX, |all, word| all & u64::from_le_bytes(*word)) == u64::MAX
    };
    let clear = whole.chunks(WORDS).filter(|piece| !full(piece)).flatten().fold(0, count);
    let rest = bitmap.get(bits as usize / 8..).unwrap_or_default();
    let left = len - bits;
    let words = (0..).zip(words(rest)).take(left.div_ceil(64) as usize);
    let in_rest = |(n, word): (u32, u64)| (!word & part_of_word(n, &(0..left))).count_ones();
    // Behind its end a bitmap counts as set.
    clear + words.map(in_rest).sum::<u32>() - padding(rest, left)
}

/// Bits that [`words`] adds behind the end of a bitmap, among the first `len`.
fn padding(bitmap: &[u8], len: u32) -> u32 {
    let (bits, len) = (bitmap.len() as u64 * 8, u64::from(len));
    len.min(bits.next_multiple_of(64)).saturating_sub(bits) as u32
}

/// The first clear bit of `range` that the buffer has.
#[must_use]
pub fn first_clear(bitmap: &[u8], range: Range<u32>) -> Option<u32> {
    let first = range.start / 64;
    let words = (first..).zip(words(bitmap.get(first as usize * 8..).unwrap_or_default()));
    let mut words = words.take((range.end.div_ceil(64).saturating_sub(first)) as usize);
    let clear = words.find_map(|(n, word)| {
        let clear = !word & part_of_word(n, &range);
        (clear != 0).then(|| n * 64 + clear.trailing_zeros())
    });
    clear.filter(|bit| !is_set(bitmap, *bit))
}

/// True when a bit of `range` is set.
#[must_use]
pub fn any_set(bitmap: &[u8], range: Range<u32>) -> bool {
    let first = range.start / 64;
    let words = (first..).zip(words(bitmap.get(first as usize * 8..).unwrap_or_default()));
    let mut words = words.take((range.end.div_ceil(64).saturating_sub(first)) as usize);
    words.any(|(n, word)| word & part_of_word(n, &range) != 0)
}

/// Bytes of two bitmaps that are compared at once: whole words.
const PIECE: usize = 256;

/// The bits among the first `len` that are not the same in both, in ascending order, and
/// whether each is set in the second.
pub fn differences<'a>(
    old: &'a [u8],
    new: &'a [u8],
    len: u32,
) -> impl Iterator<Item = (u32, bool)> + 'a {
    // Most of two bitmaps is the same, which is seen at once.
    let pieces = (0..).step_by(PIECE / 8).zip(old.chunks(PIECE).zip(new.chunks(PIECE)));
    let pieces = pieces.filter(|(_, (old, new))| old != new);
    let words = pieces.flat_map(|(first, (old, new))| (first..).zip(words(old).zip(words(new))));
    let words = words.filter(move |(n, (old, new))| old != new && *n < len.div_ceil(64));
    words.flat_map(move |(n, (old, new))| {
        let mut left = (old ^ new) & part_of_word(n, &(0..len));
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            (left != 0).then(|| {
                left &= left - 1;
                (n * 64 + bit, new >> bit & 1 == 1)
            })
        })
    })
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_say_what_bits_say(
            old in prop::collection::vec(any::<u8>(), 0..40),
            mut new in prop::collection::vec(any::<u8>(), 0..40),
            range in (0u32..330, 0u32..330),
            len in 0u32..330,
        ) {
            new.resize(old.len(), 0);
            let bits = old.len() as u32 * 8;
            let clear = (0..len).filter(|bit| !is_set(&new, *bit)).count();
            prop_assert_eq!(count_clear(&new, len) as usize, clear);
            let range = range.0.min(range.1)..range.0.max(range.1);
            let any = range.clone().any(|bit| bit < bits && is_set(&new, bit));
            prop_assert_eq!(any_set(&new, range.clone()), any);
            let free = range.clone().find(|bit| !is_set(&new, *bit));
            prop_assert_eq!(first_clear(&new, range.clone()), free);
            let within = len.min(bits);
            let differ: Vec<_> = (0..within)
                .filter(|bit| is_set(&old, *bit) != is_set(&new, *bit))
                .map(|bit| (bit, is_set(&new, bit)))
                .collect();
            prop_assert_eq!(differences(&old, &new, len).collect::<Vec<_>>(), differ);
            let mut one_by_one = new.clone();
            range.clone().for_each(|bit| set(&mut one_by_one, bit));
            set_range(&mut new, range);
            prop_assert_eq!(new, one_by_one);
        }

        #[test]
        fn few_differences_are_found_in_whichever_piece(
            old in prop::collection::vec(any::<u8>(), 0..900),
            flips in prop::collection::vec(0_u32..7200, 0..9),
            len in 0_u32..7300,
        ) {
            let mut new = old.clone();
            let within = old.len() as u32 * 8;
            for bit in flips.into_iter().filter(|bit| *bit < within) {
                if is_set(&new, bit) { clear(&mut new, bit) } else { set(&mut new, bit) }
            }
            let differ: Vec<_> = (0..len.min(within))
                .filter(|bit| is_set(&old, *bit) != is_set(&new, *bit))
                .map(|bit| (bit, is_set(&new, bit)))
                .collect();
            prop_assert_eq!(differences(&old, &new, len).collect::<Vec<_>>(), differ);
        }
    }

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
