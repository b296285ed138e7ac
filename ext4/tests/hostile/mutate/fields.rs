//! The superblock, descriptors and bitmaps.

use super::Image;
use crate::random::Random;

/// Offset and width of fields that something depends on.
const SUPERBLOCK: &[(usize, usize)] = &[
    (0x00, 4),
    (0x04, 4),
    (0x08, 4),
    (0x0c, 4),
    (0x10, 4),
    (0x14, 4),
    (0x18, 4),
    (0x1c, 4),
    (0x20, 4),
    (0x24, 4),
    (0x28, 4),
    (0x3a, 2),
    (0x4c, 4),
    (0x54, 4),
    (0x58, 2),
    (0x5a, 2),
    (0x5c, 4),
    (0x60, 4),
    (0x64, 4),
    (0xce, 2),
    (0xe0, 4),
    (0xe8, 4),
    (0xec, 4),
    (0xfc, 1),
    (0xfe, 2),
    (0x104, 4),
    (0x150, 4),
    (0x154, 4),
    (0x158, 4),
    (0x15c, 2),
    (0x15e, 2),
    (0x160, 4),
    (0x168, 8),
    (0x174, 1),
    (0x175, 1),
    (0x248, 4),
    (0x24c, 4),
    (0x250, 4),
    (0x268, 4),
    (0x270, 4),
    (0x280, 4),
];
const DESCRIPTOR: &[(usize, usize)] = &[
    (0x00, 4),
    (0x04, 4),
    (0x08, 4),
    (0x0c, 2),
    (0x0e, 2),
    (0x10, 2),
    (0x12, 2),
    (0x18, 2),
    (0x1a, 2),
    (0x1c, 2),
    (0x20, 4),
    (0x24, 4),
    (0x28, 4),
    (0x2c, 2),
    (0x2e, 2),
    (0x30, 2),
    (0x32, 2),
    (0x38, 2),
    (0x3a, 2),
];
/// Where the superblock lies.
const AT: usize = 1024;

pub(super) fn superblock(image: &mut Image, random: &mut Random) -> bool {
    let (at, width) = random.pick(SUPERBLOCK);
    let old = image.get(AT + at, width);
    let new = match at {
        // Features, one at a time; and the few sizes of blocks there are.
        0x5c | 0x60 | 0x64 => old ^ 1 << random.below(18),
        0x18 => random.below(8),
        _ => image.value(random, old, width),
    };
    image.put(AT + at, width, new);
    image.note(format!("superblock {at:#x}: {old:#x} -> {new:#x}"));
    image.sum_superblock(AT);
    true
}

pub(super) fn descriptor(image: &mut Image, random: &mut Random) -> bool {
    let group = random.index(image.survey.groups.len()) as u32;
    let size = usize::from(image.survey.geometry.desc_size);
    let (at, width) = random.pick(DESCRIPTOR);
    if at >= size {
        return false;
    }
    let place = image.descriptor_at(group) + at;
    let old = image.get(place, width);
    let new = if at == 0x12 { random.below(8) } else { image.value(random, old, width) };
    image.put(place, width, new);
    image.note(format!("descriptor {group} {at:#x}: {old:#x} -> {new:#x}"));
    image.sum_descriptor(group);
    true
}

/// Some bits of a bitmap; now and then with the counts that go with them.
pub(super) fn bitmap(image: &mut Image, random: &mut Random) -> bool {
    let group = random.index(image.survey.groups.len()) as u32;
    let blocks = random.one_in(2);
    let (of_blocks, of_inodes, _) = image.survey.groups[group as usize];
    let start = image.range(if blocks { of_blocks } else { of_inodes }).start;
    let bits = if blocks {
        image.survey.geometry.group_blocks(group)
    } else {
        image.survey.geometry.inodes_per_group
    };
    let first = random.below(u64::from(bits) + 8);
    let many = if random.one_in(2) { 1 } else { random.below(100) + 1 };
    let mut change = 0_i64;
    for bit in first..first + many {
        let at = start + bit as usize / 8;
        if let Some(byte) = image.bytes.get_mut(at) {
            *byte ^= 1 << (bit % 8);
            change += if *byte >> (bit % 8) & 1 == 1 { -1 } else { 1 };
        }
    }
    let what = if blocks { "block" } else { "inode" };
    image.note(format!("{what} bitmap {group}: {many} bits from {first} on"));
    if random.one_in(3) {
        let place = image.descriptor_at(group) + if blocks { 0x0c } else { 0x0e };
        let count = image.get(place, 2).wrapping_add_signed(change);
        image.put(place, 2, count);
        let place = AT + if blocks { 0x0c } else { 0x10 };
        let count = image.get(place, 4).wrapping_add_signed(change);
        image.put(place, 4, count);
        image.sum_superblock(AT);
        image.note("with its counts");
    }
    image.sum_bitmap(group, blocks);
    true
}

/// A copy of the superblock.
pub(super) fn backup(image: &mut Image, random: &mut Random) -> bool {
    let geometry = image.survey.geometry;
    let groups: Vec<u32> = geometry.backup_groups().skip(1).collect();
    if groups.is_empty() {
        return false;
    }
    let start = geometry.offset(geometry.group_first_block(random.pick(&groups))) as usize;
    let (at, width) = random.pick(SUPERBLOCK);
    let old = image.get(start + at, width);
    let new = image.value(random, old, width);
    image.put(start + at, width, new);
    image.note(format!("copy of the superblock {at:#x}: {old:#x} -> {new:#x}"));
    image.sum_superblock(start);
    true
}
