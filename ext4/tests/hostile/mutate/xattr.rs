//! Extended attributes, in inodes and in blocks.

use super::Image;
use crate::random::Random;
use crate::survey::What;

const ENTRY: &[(usize, usize)] =
    &[(0, 1), (1, 1), (2, 2), (2, 2), (4, 4), (8, 4), (8, 4), (12, 4), (16, 1)];

pub(super) fn in_inode(image: &mut Image, random: &mut Random) -> bool {
    let size = usize::from(image.survey.geometry.inode_size);
    let with: Vec<_> = (image.survey.inodes.iter())
        .filter(|known| {
            let extra = usize::from(image.u16(known.at + 0x80));
            size > 128 && 128 + extra + 8 < size && image.u32(known.at + 128 + extra) == 0xea02_0000
        })
        .cloned()
        .collect();
    if with.is_empty() {
        return false;
    }
    let known = with[random.index(with.len())].clone();
    let start = known.at + 128 + usize::from(image.u16(known.at + 0x80));
    entry(image, random, start + 4, known.at + size);
    image.note(format!("of inode {}", known.ino));
    image.sum_inode(known.ino, known.at);
    true
}

pub(super) fn in_block(image: &mut Image, random: &mut Random) -> bool {
    let Some(block) = image.block(random, &[What::Xattrs]) else { return false };
    let range = image.range(block.number);
    if random.one_in(3) {
        let (at, width) = random.pick(&[(0, 4), (4, 4), (8, 4), (12, 4)]);
        let old = image.get(range.start + at, width);
        let new = image.value(random, old, width);
        image.put(range.start + at, width, new);
        image.note(format!("header of attributes {at}: {old:#x} -> {new:#x}"));
    } else {
        entry(image, random, range.start + 32, range.end);
    }
    image.note(format!("in block {}", block.number));
    image.sum_block(block);
    true
}

fn entry(image: &mut Image, random: &mut Random, start: usize, end: usize) {
    // The first or the second of the list.
    let second = (start + 16 + usize::from(image.bytes[start])).next_multiple_of(4);
    let start = if random.one_in(3) && second + 20 < end { second } else { start };
    let (at, width) = random.pick(ENTRY);
    let old = image.get(start + at, width);
    let new = image.value(random, old, width);
    image.put(start + at, width, new);
    image.note(format!("attribute {at}: {old:#x} -> {new:#x}"));
}

/// Another inode uses a block of attributes, too; now and then it says so.
pub(super) fn share(image: &mut Image, random: &mut Random) -> bool {
    let Some(block) = image.block(random, &[What::Xattrs]) else { return false };
    let n = random.index(image.survey.inodes.len());
    let known = image.survey.inodes[n].clone();
    image.put(known.at + 0x68, 4, block.number);
    let sectors = image.get(known.at + 0x1c, 4) + image.survey.block_size() as u64 / 512;
    image.put(known.at + 0x1c, 4, sectors);
    image.sum_inode(known.ino, known.at);
    image.note(format!("inode {} shares the attributes in block {}", known.ino, block.number));
    if random.one_in(2) {
        let at = image.range(block.number).start + 4;
        let users = image.get(at, 4) + 1;
        image.put(at, 4, users);
        image.sum_block(block);
    }
    true
}
