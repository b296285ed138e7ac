//! Whole blocks in wrong places, and bytes that mean nothing.

use super::Image;
use crate::random::Random;

pub(super) fn copy_block(image: &mut Image, random: &mut Random) -> bool {
    let (from, to) = (image.some_block(random), image.some_block(random));
    if from.max(to) >= image.survey.geometry.blocks_count {
        return false;
    }
    let (from_range, to_range) = (image.range(from), image.range(to));
    image.bytes.copy_within(from_range, to_range.start);
    image.note(format!("block {to}: a copy of {from}"));
    true
}

pub(super) fn zero_block(image: &mut Image, random: &mut Random) -> bool {
    let number = image.some_block(random);
    if number >= image.survey.geometry.blocks_count {
        return false;
    }
    let range = image.range(number);
    image.bytes[range].fill(0);
    image.note(format!("block {number}: zero"));
    true
}

/// Without a checksum made right.
pub(super) fn random_bytes(image: &mut Image, random: &mut Random) -> bool {
    let number = image.some_block(random);
    if number >= image.survey.geometry.blocks_count {
        return false;
    }
    let range = image.range(number);
    for _ in 0..=random.below(8) {
        let at = range.start + random.index(range.len());
        image.bytes[at] = random.below(256) as u8;
    }
    image.note(format!("bytes of block {number}"));
    true
}
