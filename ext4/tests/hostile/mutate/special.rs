//! Inodes with a number of their own: bad blocks, quota, boot loader, resize, journal, orphans.

use super::Image;
use crate::random::Random;

/// Offset and width of fields, the likeliest ones twice.
const FIELDS: &[(usize, usize)] = &[
    (0x00, 2),
    (0x00, 2),
    (0x02, 2),
    (0x04, 4),
    (0x04, 4),
    (0x14, 4),
    (0x18, 2),
    (0x1a, 2),
    (0x1a, 2),
    (0x1c, 4),
    (0x20, 4),
    (0x20, 4),
    (0x64, 4),
    (0x68, 4),
    (0x6c, 4),
    (0x70, 4),
    (0x74, 2),
    (0x76, 2),
    (0x80, 2),
    (0xa0, 4),
];
/// Fields of the superblock that name one of them.
const NUMBERS: &[usize] = &[0xe0, 0x240, 0x244, 0x26c, 0x280];

/// One to three changes of such inodes or of the fields that name them.
pub(super) fn damage(image: &mut Image, random: &mut Random) {
    for _ in 0..1 + random.below(3) {
        match random.below(12) {
            0 => number(image, random),
            1 => reserved_block(image, random),
            2 | 3 => inode(image, random, true),
            _ => inode(image, random, false),
        }
    }
}

/// Their numbers: those below the first one of users, and those that the superblock names.
fn number_of(image: &Image, random: &mut Random) -> u32 {
    let named = image.get(1024 + random.pick(NUMBERS), 4) as u32;
    if random.one_in(3) && (1..=image.survey.geometry.inodes_count).contains(&named) {
        return named;
    }
    match random.below(10) as u32 + 1 {
        2 => 7,
        other => other,
    }
}

fn inode(image: &mut Image, random: &mut Random, map: bool) {
    let ino = number_of(image, random);
    let (group, index) = image.survey.geometry.inode_place(ino).unwrap();
    let table = image.survey.groups[group as usize].2;
    let record = image.survey.geometry.inode_offset(table, index) as usize;
    let (at, width) = if map { (0x28 + 4 * random.index(15), 4) } else { random.pick(FIELDS) };
    if at + width > usize::from(image.survey.geometry.inode_size) {
        return;
    }
    let old = image.get(record + at, width);
    let new = match at {
        0 if random.one_in(2) => random.below(16) << 12,
        0x1a if random.one_in(2) => random.below(3),
        0x1c if random.one_in(2) => random.below(4) * 8,
        0x20 if random.one_in(2) => old ^ 1 << random.below(32),
        _ => image.value(random, old, width),
    };
    image.put(record + at, width, new);
    image.note(format!("inode {ino} {at:#x}: {old:#x} -> {new:#x}"));
    if random.one_in(8) {
        image.note("with a wrong checksum");
    } else {
        image.sum_inode(ino, record);
    }
}

/// The superblock names another inode.
fn number(image: &mut Image, random: &mut Random) {
    let at = random.pick(NUMBERS);
    let old = image.get(1024 + at, 4);
    let new = if random.one_in(2) { random.below(14) } else { image.value(random, old, 4) };
    image.put(1024 + at, 4, new);
    image.note(format!("superblock {at:#x}: {old:#x} -> {new:#x}"));
    image.sum_superblock(1024);
}

/// A pointer in the first of the reserved descriptor blocks, or in the list of them.
fn reserved_block(image: &mut Image, random: &mut Random) {
    let geometry = image.survey.geometry;
    let (group, index) = geometry.inode_place(7).unwrap();
    let table = image.survey.groups[group as usize].2;
    let record = geometry.inode_offset(table, index) as usize;
    let list = image.get(record + 0x28 + 13 * 4, 4);
    if list == 0 || list >= geometry.blocks_count {
        return;
    }
    let slot = (geometry.gdt_blocks() as usize + random.index(3)) % (image.survey.block_size() / 4);
    let mut at = image.range(list).start + 4 * slot;
    let block = image.get(at, 4);
    if random.one_in(2) && block != 0 && block < geometry.blocks_count {
        at = image.range(block).start + 4 * random.index(3);
    }
    let old = image.get(at, 4);
    let new = image.value(random, old, 4);
    image.put(at, 4, new);
    image.note(format!("byte {at} of the resize inode's blocks: {old:#x} -> {new:#x}"));
}
