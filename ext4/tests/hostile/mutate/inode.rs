//! Inodes: fields, the root of a map, those that are not in use, the list of orphans.

use super::Image;
use crate::random::Random;

const FIELDS: &[(usize, usize)] = &[
    (0x00, 2),
    (0x04, 4),
    (0x04, 4),
    (0x14, 4),
    (0x1a, 2),
    (0x1a, 2),
    (0x1c, 4),
    (0x20, 4),
    (0x20, 4),
    (0x64, 4),
    (0x68, 4),
    (0x68, 4),
    (0x6c, 4),
    (0x70, 4),
    (0x74, 2),
    (0x76, 2),
    (0x80, 2),
    (0x80, 2),
    (0x84, 4),
    (0x94, 4),
];
/// Flags that say where the data is, and what.
const FLAGS: &[u32] = &[
    0x10,
    0x20,
    0x800,
    0x1000,
    0x4_0000,
    0x8_0000,
    0x10_0000,
    0x20_0000,
    0x1000_0000,
    0x4000_0000,
];
const SIZES: &[u64] = &[0, 1, 59, 60, 61, 1 << 31, 1 << 32, 1 << 40, 1 << 63, u64::MAX];

pub(super) fn field(image: &mut Image, random: &mut Random) -> bool {
    let n = random.index(image.survey.inodes.len());
    let known = image.survey.inodes[n].clone();
    let (at, width) = random.pick(FIELDS);
    if at + width > usize::from(image.survey.geometry.inode_size) {
        return false;
    }
    let place = known.at + at;
    let old = image.get(place, width);
    let new = match at {
        0 if random.one_in(2) => old & 0xfff | random.below(16) << 12,
        0x20 if !random.one_in(4) => old ^ u64::from(random.pick(FLAGS)),
        _ => image.value(random, old, width),
    };
    image.put(place, width, new);
    if at == 4 && random.one_in(3) {
        let size = random.pick(SIZES);
        image.put(place, 4, size);
        image.put(known.at + 0x6c, 4, size >> 32);
    }
    image.note(format!("inode {} {at:#x}: {old:#x} -> {new:#x}", known.ino));
    image.sum_inode(known.ino, known.at);
    true
}

/// A word of `i_block`: pointers, the root of extents, inline data, a target.
pub(super) fn root_of_map(image: &mut Image, random: &mut Random) -> bool {
    let n = random.index(image.survey.inodes.len());
    let known = image.survey.inodes[n].clone();
    let at = 0x28 + 2 * random.index(30);
    let width = if random.one_in(2) && at < 0x62 { 4 } else { 2 };
    let old = image.get(known.at + at, width);
    let new = image.value(random, old, width);
    image.put(known.at + at, width, new);
    image.note(format!("inode {} {at:#x}: {old:#x} -> {new:#x}", known.ino));
    image.sum_inode(known.ino, known.at);
    true
}

/// A record that is not in use says that it is; or a copy of another.
pub(super) fn unused_inode(image: &mut Image, random: &mut Random) -> bool {
    let count = image.survey.geometry.inodes_count;
    let ino = 1 + random.below(count.into()) as u32;
    let (group, index) = image.survey.geometry.inode_place(ino).unwrap();
    let table = image.survey.groups[group as usize].2;
    let at = image.survey.geometry.inode_offset(table, index) as usize;
    let size = usize::from(image.survey.geometry.inode_size);
    if image.survey.inodes.iter().any(|known| known.ino == ino) {
        return false;
    }
    if random.one_in(2) {
        let n = random.index(image.survey.inodes.len());
        let from = image.survey.inodes[n].clone();
        image.bytes.copy_within(from.at..from.at + size, at);
        image.note(format!("inode {ino}: a copy of {}", from.ino));
    } else {
        image.put(at, 2, 0x81a4);
        image.put(at + 0x1a, 2, random.below(3));
        image.note(format!("inode {ino}: in use"));
    }
    image.sum_inode(ino, at);
    true
}

/// The list of orphans leads somewhere: to an inode, to itself, round in a ring.
pub(super) fn orphan_list(image: &mut Image, random: &mut Random) -> bool {
    let first = image.some_ino(random);
    image.put(1024 + 0xe8, 4, first.into());
    image.sum_superblock(1024);
    let mut at = first;
    for _ in 0..random.below(4) {
        let next = image.some_ino(random);
        let Some(known) = image.survey.inodes.iter().find(|known| known.ino == at).cloned() else {
            break;
        };
        image.put(known.at + 0x14, 4, next.into());
        if random.one_in(2) {
            image.put(known.at + 0x1a, 2, 0);
        }
        image.sum_inode(known.ino, known.at);
        at = next;
    }
    image.note(format!("orphans from {first} on"));
    true
}
