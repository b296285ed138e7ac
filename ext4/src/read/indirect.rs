//! Block lists of ext2 and ext3: twelve direct pointers, then one, two and three levels of blocks of pointers.

use super::mapping::{BlockMap, Run, TreeBlocks, check_limit};
use crate::layout::extent::{Extent, MAX_LEN};
use crate::{Result, le};

/// Pointers in the inode itself.
const DIRECT: u64 = 12;

impl BlockMap<'_> {
    fn per_block(&self) -> u64 {
        u64::from(self.fs.geometry().block_size / 4)
    }

    /// Levels below the inode for a block, the pointer in the inode, and the
    /// block's number below that pointer; none beyond the third level.
    fn place(&self, logical: u64) -> Option<(u32, usize, u64)> {
        if logical < DIRECT {
            return Some((0, logical as usize, 0));
        }
        let mut rest = logical - DIRECT;
        for level in 1..=3 {
            let covered = self.per_block().pow(level);
            if rest < covered {
                return Some((level, 11 + level as usize, rest));
            }
            rest -= covered;
        }
        None
    }

    pub(super) fn indirect_run(&mut self, logical: u64) -> Result<Run> {
        let hole = |len: u64| Ok(Run { logical, len: len.max(1), physical: None });
        let Some((mut level, slot, mut rest)) = self.place(logical) else {
            return hole(u64::MAX - logical);
        };
        let mut pointer: u32 = le::get_or_zero(&self.root, slot * 4);
        if level == 0 {
            let (root, from) = (self.root, slot * 4);
            let direct = root.get(from..DIRECT as usize * 4).unwrap_or_default();
            return Ok(contiguous(logical, direct));
        }
        loop {
            let covered = self.per_block().pow(level);
            if pointer == 0 {
                return hole(covered - rest);
            }
            level -= 1;
            let below = self.per_block().pow(level);
            let index = (rest / below) as usize;
            rest %= below;
            let block = self.pointer_block(pointer.into())?;
            if level == 0 {
                return Ok(contiguous(logical, block.get(index * 4..).unwrap_or_default()));
            }
            pointer = le::get_or_zero(block, index * 4);
        }
    }

    fn pointer_block(&mut self, number: u64) -> Result<&[u8]> {
        if self.pointers.as_ref().is_none_or(|(held, _)| *held != number) {
            self.pointers = Some((number, self.fs.block(number)?));
        }
        Ok(self.pointers.as_ref().map_or(&[], |(_, bytes)| bytes))
    }

    pub(super) fn collect_indirect(&self, found: &mut TreeBlocks, limit: u64) -> Result<()> {
        // (pointer, levels below it, first block of the file below it)
        let mut waiting: Vec<(u32, u32, u64)> = Vec::new();
        let mut logical = DIRECT;
        for level in 1..=3u32 {
            let at = (11 + level as usize) * 4;
            waiting.push((le::get_or_zero(&self.root, at), level, logical));
            logical += self.per_block().pow(level);
        }
        waiting.reverse();
        for n in 0..DIRECT {
            self.add(found, le::get_or_zero(&self.root, n as usize * 4), n)?;
        }
        while let Some((pointer, level, logical)) = waiting.pop() {
            if pointer == 0 {
                continue;
            }
            if level == 0 {
                self.add(found, pointer, logical)?;
                check_limit(found, limit)?;
                continue;
            }
            let block = self.fs.block(pointer.into())?;
            found.nodes.push(pointer.into());
            check_limit(found, limit)?;
            let below = self.per_block().pow(level - 1);
            let pointers = block.chunks_exact(4).map(|bytes| le::get_or_zero::<u32>(bytes, 0));
            for (n, pointer) in pointers.enumerate().rev().filter(|(_, pointer)| *pointer != 0) {
                waiting.push((pointer, level - 1, logical + n as u64 * below));
            }
        }
        Ok(())
    }

    /// Adds a block, to the last run where it continues it.
    fn add(&self, found: &mut TreeBlocks, pointer: u32, logical: u64) -> Result<()> {
        if pointer == 0 {
            return Ok(());
        }
        self.check_blocks(pointer.into(), 1)?;
        let Ok(block) = u32::try_from(logical) else {
            return Err(self.corrupt("a block lies beyond the end of any file"));
        };
        if let Some(last) = found.data.last_mut()
            && last.end() == logical
            && last.start + u64::from(last.len) == u64::from(pointer)
            && last.len < MAX_LEN
        {
            last.len += 1;
            return Ok(());
        }
        found.data.push(Extent { block, len: 1, start: pointer.into(), unwritten: false });
        Ok(())
    }
}

/// The run at the head of a list of pointers.
fn contiguous(logical: u64, pointers: &[u8]) -> Run {
    let mut numbers = pointers.chunks_exact(4).map(|bytes| le::get_or_zero::<u32>(bytes, 0));
    let first = numbers.next().unwrap_or_default();
    let mut len = 1;
    for number in numbers {
        let continues =
            if first == 0 { number == 0 } else { u64::from(number) == u64::from(first) + len };
        if !continues {
            break;
        }
        len += 1;
    }
    Run { logical, len, physical: (first != 0).then_some(first.into()) }
}
