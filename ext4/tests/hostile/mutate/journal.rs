//! The journal: its superblock, and the blocks of its log.

use banger_ext4::layout::checksum::crc32c;

use super::Image;
use crate::random::Random;

/// `s_maxlen`, `s_first`, `s_sequence`, `s_start`, `s_errno`, features, fast commits, head.
const SUPERBLOCK: &[usize] =
    &[0x04, 0x0c, 0x10, 0x10, 0x14, 0x14, 0x18, 0x1c, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x54, 0x58];

fn place(image: &Image, number: u64) -> Option<usize> {
    let journal = image.survey.journal.as_ref()?;
    Some(journal.block(number).ok()? as usize * journal.block_size())
}

fn word(image: &Image, at: usize) -> u32 {
    u32::from_be_bytes(image.bytes[at..at + 4].try_into().unwrap())
}

fn put(image: &mut Image, at: usize, value: u32) {
    image.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// A value that breaks assumptions: lengths and places of this journal, too.
fn value(image: &Image, random: &mut Random, old: u32) -> u32 {
    let long = image.survey.journal.as_ref().map_or(0, |j| j.superblock.s_maxlen());
    match random.below(4) {
        0 => long.wrapping_add(random.below(3) as u32).wrapping_sub(1),
        1 => random.below(u64::from(long)) as u32,
        _ => image.value(random, old.into(), 4) as u32,
    }
}

pub(super) fn superblock(image: &mut Image, random: &mut Random) -> bool {
    let Some(start) = place(image, 0) else { return false };
    let at = random.pick(SUPERBLOCK);
    let old = word(image, start + at);
    let new = match at {
        0x24 | 0x28 | 0x2c => old ^ 1 << random.below(7),
        _ => value(image, random, old),
    };
    put(image, start + at, new);
    image.note(format!("journal superblock {at:#x}: {old:#x} -> {new:#x}"));
    image.sum_journal(start);
    if random.one_in(2) {
        let features = image.get(1024 + 0x60, 4);
        image.put(1024 + 0x60, 4, features | 4);
        image.sum_superblock(1024);
        image.note("needs_recovery");
    }
    true
}

/// A block of the log: its head, its tags (to the superblock, to the journal, outside), its
/// count of revokes, or bytes that it brings back. Checksums of tags stay wrong now and then.
pub(super) fn log(image: &mut Image, random: &mut Random) -> bool {
    let Some(journal) = image.survey.journal.clone() else { return false };
    let first = u64::from(journal.superblock.s_first());
    let seed = journal.superblock.checksum_seed();
    let Some(descriptor) = place(image, first) else { return false };
    let size = image.survey.block_size();
    let v3 = journal.superblock.checksummed();
    match random.below(6) {
        // The head of any of the first blocks.
        0 => {
            let n = first + random.below(30);
            let Some(at) = place(image, n) else { return false };
            let field = 4 * random.index(3);
            let old = word(image, at + field);
            let new = if field == 4 { random.below(7) as u32 } else { value(image, random, old) };
            put(image, at + field, new);
            image.sum_log_block(at, seed);
            image.note(format!("log block {n} +{field}: {old:#x} -> {new:#x}"));
        }
        // A tag of the descriptor.
        1 | 2 => {
            let step = if v3 { 16 } else { 8 };
            let at = descriptor + 12 + random.index(8) * step + random.pick(&[0, 0, 0, 4, 8]);
            let old = word(image, at);
            let new = match random.below(3) {
                0 => image.some_block(random) as u32,
                _ => value(image, random, old),
            };
            put(image, at, new);
            image.sum_log_block(descriptor, seed);
            image.note(format!("log tag +{}: {old:#x} -> {new:#x}", at - descriptor));
        }
        // The descriptor becomes a block of revokes, with any count.
        3 => {
            put(image, descriptor + 4, 5);
            let count = value(image, random, size as u32);
            put(image, descriptor + 12, count);
            image.sum_log_block(descriptor, seed);
            image.note(format!("revokes, {count:#x} bytes of them"));
        }
        // What the log brings back, with the tag made right where that is easy.
        4 => {
            let n = random.below(12);
            let Some(at) = place(image, first + 1 + n) else { return false };
            let field = at + 4 * random.index(size / 4);
            let old = word(image, field);
            put(image, field, value(image, random, old));
            if v3 {
                let sequence = journal.superblock.s_sequence().to_be_bytes();
                let sum = crc32c(crc32c(seed, &sequence), &image.bytes[at..at + size]);
                // Behind the first tag lies a uuid.
                let tag = descriptor + 12 + 16 * n as usize + if n > 0 { 16 } else { 0 };
                put(image, tag + 12, sum);
                image.sum_log_block(descriptor, seed);
            }
            image.note(format!("content of log block {}", first + 1 + n));
        }
        // Two blocks of the log change places.
        _ => {
            let (a, b) = (first + random.below(20), first + random.below(20));
            let (Some(a), Some(b)) = (place(image, a), place(image, b)) else { return false };
            let held = image.bytes[a..a + size].to_vec();
            image.bytes.copy_within(b..b + size, a);
            image.bytes[b..b + size].copy_from_slice(&held);
            image.note("two log blocks change places");
        }
    }
    true
}
