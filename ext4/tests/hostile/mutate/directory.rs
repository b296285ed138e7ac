//! Directories: entries, rings, names that occur twice, indexes; and the orphan file.

use super::Image;
use crate::random::Random;
use crate::survey::{Block, What};

/// Byte offsets of the entries of a block, as far as they can be followed.
fn entries(image: &Image, block: Block) -> Vec<usize> {
    let range = image.range(block.number);
    let mut found = Vec::new();
    let mut at = range.start;
    while at + 12 <= range.end {
        let len = usize::from(image.u16(at + 4));
        if len < 8 || at + len > range.end {
            break;
        }
        found.push(at);
        at += len;
    }
    found
}

fn some_entry(image: &Image, random: &mut Random) -> Option<(Block, usize)> {
    let block = image.block(random, &[What::Leaf, What::Leaf, What::IndexRoot])?;
    let found = entries(image, block);
    (!found.is_empty()).then(|| (block, random.pick(&found)))
}

pub(super) fn entry(image: &mut Image, random: &mut Random) -> bool {
    let Some((block, at)) = some_entry(image, random) else { return false };
    let name_len = usize::from(image.bytes[at + 6]);
    let what = match random.below(8) {
        0 | 1 => {
            let new = image.some_ino(random);
            image.put(at, 4, new.into());
            format!("inode {new}")
        }
        2 | 3 => {
            let old = image.get(at + 4, 2);
            let new = match random.below(3) {
                0 => old + 4,
                1 => old.wrapping_sub(4),
                _ => image.value(random, old, 2),
            };
            image.put(at + 4, 2, new);
            format!("rec_len {old} -> {new}")
        }
        4 => {
            let old = image.get(at + 6, 1);
            let new = image.value(random, old, 1);
            image.put(at + 6, 1, new);
            format!("name_len {old} -> {new}")
        }
        5 => {
            let new = random.below(9);
            image.put(at + 7, 1, new);
            format!("type {new}")
        }
        _ => {
            let byte = random.pick(b"/\0.a\xff");
            let place = at + 8 + random.index(name_len.max(1));
            image.put(place, 1, byte.into());
            format!("a byte of the name {byte:#x}")
        }
    };
    image.note(format!("entry in block {}: {what}", block.number));
    image.sum_block(block);
    true
}

/// A name leads to a directory: a second name, or a ring.
pub(super) fn link(image: &mut Image, random: &mut Random) -> bool {
    let directories: Vec<u32> = (image.survey.inodes.iter())
        .filter(|known| known.kind == Some(banger_ext4::FileKind::Directory))
        .map(|known| known.ino)
        .collect();
    let Some((block, at)) = some_entry(image, random) else { return false };
    let target = random.pick(&directories);
    image.put(at, 4, target.into());
    if image.survey.types {
        image.put(at + 7, 1, 2);
    }
    let owner = image.survey.inodes[block.owner].ino;
    image.note(format!("a name in directory {owner} leads to directory {target}"));
    image.sum_block(block);
    true
}

/// Two names of a block become one.
pub(super) fn duplicate(image: &mut Image, random: &mut Random) -> bool {
    let Some((block, at)) = some_entry(image, random) else { return false };
    let like: Vec<usize> = entries(image, block)
        .into_iter()
        .filter(|other| *other != at && image.bytes[other + 6] == image.bytes[at + 6])
        .collect();
    if like.is_empty() {
        return false;
    }
    let from = random.pick(&like);
    let len = usize::from(image.bytes[at + 6]);
    image.bytes.copy_within(from + 8..from + 8 + len, at + 8);
    image.note(format!("a name twice in block {}", block.number));
    image.sum_block(block);
    true
}

pub(super) fn index(image: &mut Image, random: &mut Random) -> bool {
    let Some(block) = image.block(random, &[What::IndexRoot, What::IndexNode]) else {
        return false;
    };
    let start = image.range(block.number).start;
    let root = block.what == What::IndexRoot;
    let first = if root { 0x20 } else { 8 };
    let count = usize::from(image.u16(start + first + 2)).min(image.survey.block_size() / 8 - 4);
    let (at, width) = match random.below(8) {
        0 if root => (0x1c + random.index(4), 1),
        1 => (first, 2),
        2 => (first + 2, 2),
        3 | 4 => (first + 8 * random.index(count.max(1)) + 4, 4),
        _ => (first + 8 * random.index(count.max(1)), 4),
    };
    let old = image.get(start + at, width);
    let new = match random.below(5) {
        // A block of another entry: it is then reached twice, or round in a ring.
        0 | 1 if width == 4 => {
            image.get(start + first + 8 * random.index(count.max(1)) + at % 8, 4)
        }
        2 => old ^ 1,
        _ => image.value(random, old, width),
    };
    image.put(start + at, width, new);
    image.note(format!("index block {} {at:#x}: {old:#x} -> {new:#x}", block.number));
    image.sum_block(block);
    true
}

pub(super) fn orphan_file(image: &mut Image, random: &mut Random) -> bool {
    let Some(block) = image.block(random, &[What::OrphanFile]) else { return false };
    let range = image.range(block.number);
    let at = if random.one_in(5) { range.end - 8 } else { range.start + 4 * random.index(4) };
    let new = image.some_ino(random);
    image.put(at, 4, new.into());
    if random.one_in(2) {
        // orphan_present
        let flags = image.get(1024 + 0x64, 4);
        image.put(1024 + 0x64, 4, flags | 0x1_0000);
        image.sum_superblock(1024);
    }
    image.note(format!("orphan file: {new}"));
    image.sum_block(block);
    true
}
