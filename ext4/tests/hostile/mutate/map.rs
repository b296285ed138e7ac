//! Trees of extents, and blocks of pointers.

use super::Image;
use crate::random::Random;
use crate::survey::What;

pub(super) fn extent_node(image: &mut Image, random: &mut Random) -> bool {
    // The roots lie in inodes.
    if random.one_in(2) {
        let n = random.index(image.survey.inodes.len());
        let known = image.survey.inodes[n].clone();
        if image.u16(known.at + 0x28) != 0xf30a {
            return false;
        }
        node(image, random, known.at + 0x28, 4);
        image.note(format!("of the root of inode {}", known.ino));
        image.sum_inode(known.ino, known.at);
        return true;
    }
    let Some(block) = image.block(random, &[What::ExtentNode]) else { return false };
    let start = image.range(block.number).start;
    node(image, random, start, 340);
    image.note(format!("of the node in block {}", block.number));
    image.sum_block(block);
    true
}

/// Header or entry of a node.
fn node(image: &mut Image, random: &mut Random, start: usize, most: usize) {
    let count = usize::from(image.u16(start + 2)).min(most);
    let depth = image.u16(start + 6);
    let (at, width) = match random.below(4) {
        0 => random.pick(&[(0, 2), (2, 2), (2, 2), (4, 2), (6, 2), (6, 2), (8, 4)]),
        _ => {
            let entry = start + 12 + 12 * random.index(count.max(1));
            let fields: &[(usize, usize)] = if depth == 0 {
                &[(0, 4), (4, 2), (6, 2), (8, 4)]
            } else {
                &[(0, 4), (4, 4), (8, 2)]
            };
            let (at, width) = random.pick(fields);
            (entry + at - start, width)
        }
    };
    let old = image.get(start + at, width);
    let new = match random.below(4) {
        // Of another entry of the same node: overlaps.
        0 if at >= 12 && count > 1 => {
            let other = start + 12 + 12 * random.index(count) + (at - 12) % 12;
            image.get(other, width)
        }
        1 if width == 2 => random.pick(&[0, 1, 4, 5, 6, 0x7fff, 0x8000, 0x8001, 0xffff]),
        _ => image.value(random, old, width),
    };
    image.put(start + at, width, new);
    image.note(format!("extents {at:#x}: {old:#x} -> {new:#x}"));
}

pub(super) fn pointers(image: &mut Image, random: &mut Random) -> bool {
    let Some(block) = image.block(random, &[What::Pointers]) else { return false };
    let range = image.range(block.number);
    let most = if random.one_in(2) { 12 } else { range.len() / 4 };
    let at = range.start + 4 * random.index(most);
    let old = image.get(at, 4);
    // Its own number makes a ring.
    let new = if random.one_in(5) { block.number } else { image.value(random, old, 4) };
    image.put(at, 4, new);
    image.note(format!("pointers in block {}: {old:#x} -> {new:#x}", block.number));
    true
}
