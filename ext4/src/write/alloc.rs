//! Giving out and taking back blocks.
//!
//! A block that was in use when the batch began is not given out again within it:
//! whatever it holds is still needed should the batch not be committed.

use std::ops::Range;
use std::sync::Arc;

use super::run_search;
use super::volume::{BlockMap, Volume};
use crate::layout::bitmap;
use crate::layout::group::BLOCK_UNINIT;
use crate::{Error, Result};

/// Groups that are searched for a run of the full length before a shorter one is taken.
const PATIENCE: u32 = 16;

impl Volume {
    /// Reads a group's block bitmap, or makes the one it stands for.
    fn load_block_map(&mut self, number: u32) -> Result<()> {
        let geometry = self.geometry;
        let checksums = self.checksums;
        let group = self.group(number)?;
        if group.blocks.is_some() {
            return Ok(());
        }
        let descriptor = group.descriptor;
        let now = if descriptor.has_flag(BLOCK_UNINIT) && self.has_group_checksums() {
            self.metadata.synthesise(&geometry, number).into()
        } else {
            let read = self.blocks.share(descriptor.block_bitmap())?;
            bitmap::check_block_bitmap(
                &read,
                geometry.clusters_per_group,
                &descriptor,
                &checksums,
            )?;
            if !self.metadata.marked(&geometry, number, &read) {
                return Err(Error::Corrupt {
                    what: format!("the block bitmap of group {number} has metadata as free"),
                });
            }
            read
        };
        let free = bitmap::count_clear(&now, geometry.clusters_per_group);
        let group = self.group(number)?;
        if free != group.descriptor.free_blocks_count() {
            return Err(Error::Corrupt {
                what: format!(
                    "group {number} has {free} free blocks and its descriptor says {}",
                    group.descriptor.free_blocks_count()
                ),
            });
        }
        let (begin, held) = (Arc::clone(&now), Arc::clone(&now));
        group.blocks = Some(Box::new(BlockMap { begin, held, now, changed: false }));
        Ok(())
    }

    /// The group's block bitmap for a change: it counts as initialised from now on.
    pub(crate) fn block_map(&mut self, number: u32) -> Result<&mut BlockMap> {
        self.load_block_map(number)?;
        self.blocks.note_change();
        let group = self.group(number)?;
        group.changed = true;
        let flags = group.descriptor.bg_flags();
        group.descriptor.set_bg_flags(flags & !BLOCK_UNINIT);
        let map = group.blocks.as_mut().ok_or_else(|| Error::Corrupt {
            what: format!("group {number} has no block bitmap"),
        })?;
        map.changed = true;
        Ok(map)
    }

    /// Gives out up to `want` blocks in one piece, at `goal` or near behind it.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when not one block is left.
    pub(crate) fn allocate_run(&mut self, goal: u64, want: u32) -> Result<Range<u64>> {
        let (first, index) = self.geometry.group_of_block(goal).unwrap_or((0, 0));
        let groups = self.geometry.groups;
        let mut best: Option<(u32, run_search::Run)> = None;
        let mut searched = 0;
        // The goal's group comes twice: behind the goal, and at last before it.
        for step in 0..=groups {
            let number = (first + step) % groups;
            let free = self.group(number)?.descriptor.free_blocks_count();
            if free == 0 || (best.is_some() && (free < want || searched >= PATIENCE)) {
                continue;
            }
            searched += 1;
            self.load_block_map(number)?;
            let end = self.geometry.group_blocks(number);
            let from = if step == 0 { index } else { 0 };
            let Some(map) = &self.group(number)?.blocks else { continue };
            let Some(run) = run_search::find(&map.held, &map.now, from, end, want) else {
                continue;
            };
            if best.is_none_or(|(_, (_, len))| run.1 > len) {
                best = Some((number, run));
            }
            if run.1 >= want {
                break;
            }
        }
        let (number, (start, len)) = best.ok_or_else(|| Error::NoSpace {
            what: format!("{want} blocks of {} bytes were needed", self.geometry.block_size),
        })?;
        let map = self.block_map(number)?;
        bitmap::set_range(Arc::make_mut(&mut map.now), start..start + len);
        let descriptor = &mut self.group(number)?.descriptor;
        descriptor.set_free_blocks_count(descriptor.free_blocks_count().saturating_sub(len));
        let block = self.geometry.group_first_block(number) + u64::from(start);
        Ok(block..block + u64::from(len))
    }

    /// Gives out one block.
    ///
    /// # Errors
    /// As [`Volume::allocate_run`].
    pub(crate) fn allocate_block(&mut self, goal: u64) -> Result<u64> {
        self.allocate_run(goal, 1).map(|run| run.start)
    }

    /// Takes blocks back, and what was to be written to them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when one of them is metadata or free already.
    pub(crate) fn free_run(&mut self, run: Range<u64>) -> Result<()> {
        let corrupt = |what| Error::Corrupt { what: format!("blocks {run:?}: {what}") };
        let last = run.end.saturating_sub(1);
        if !self.geometry.is_data_block(run.start) || !self.geometry.is_data_block(last) {
            return Err(corrupt("a file has them, and they lie outside the filesystem"));
        }
        if self.metadata.within(run.clone()).next().is_some() {
            return Err(corrupt("a file has them, and they are metadata"));
        }
        let mut block = run.start;
        while block < run.end {
            let Some((number, index)) = self.geometry.group_of_block(block) else { break };
            let left = self.geometry.group_blocks(number).saturating_sub(index);
            let len = left.min(u32::try_from(run.end - block).unwrap_or(u32::MAX));
            let map = self.block_map(number)?;
            if (index..index + len).any(|bit| !bitmap::is_set(&map.now, bit)) {
                return Err(corrupt("a file has them, and the bitmap calls them free"));
            }
            let bits = Arc::make_mut(&mut map.now);
            (index..index + len).for_each(|bit| bitmap::clear(bits, bit));
            let descriptor = &mut self.group(number)?.descriptor;
            descriptor.set_free_blocks_count(descriptor.free_blocks_count() + len);
            block += u64::from(len);
        }
        // Content on its way would arrive behind what comes to lie there next.
        let bytes = self.geometry.offset(run.start)..self.geometry.offset(run.end);
        self.incoming.flush_within(bytes, &*self.below)?;
        self.blocks.forget(run);
        Ok(())
    }

    /// Where the data of an inode in `group` best goes.
    pub(crate) fn goal(&self, group: u32) -> u64 {
        let flex = group / self.geometry.groups_per_flex.max(1);
        self.goals.get(&flex).copied().unwrap_or_else(|| {
            self.geometry.group_first_block(flex * self.geometry.groups_per_flex.max(1))
        })
    }

    /// Remembers where data of a group ended.
    pub(crate) fn set_goal(&mut self, group: u32, goal: u64) {
        self.goals.insert(group / self.geometry.groups_per_flex.max(1), goal);
    }
}
