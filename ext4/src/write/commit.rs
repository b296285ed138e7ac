//! What a batch changed, brought to the disk.

use std::sync::Arc;

use super::volume::Volume;
use crate::Result;
use crate::layout::superblock::SUPERBLOCK_OFFSET;

/// What must hold when the machine stops in the middle of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    /// A power cut: the device is flushed between the steps.
    #[default]
    PowerSafe,
    /// The end of the process alone: the order of writes is enough.
    ProcessSafe,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// All of the batch or none of it would have survived a crash.
    pub atomic: bool,
    /// Blocks of metadata written, and of data not written before.
    pub blocks: u64,
}

/// Changed blocks by what a crash may do to them.
pub(crate) struct Changes {
    /// Into blocks that were free: nobody sees them before the metadata says so.
    pub(crate) direct: Vec<(u64, Arc<[u8]>)>,
    /// In place of what is in use.
    pub(crate) logged: Vec<(u64, Arc<[u8]>)>,
}

impl Volume {
    /// Sorts what the overlay holds; blocks that are as they were, or that
    /// belong to nothing any more, are left out.
    pub(crate) fn changes(&self) -> Result<Changes> {
        let mut changes = Changes { direct: Vec::new(), logged: Vec::new() };
        for (block, bytes) in self.blocks.overlay().changed() {
            if self.is_free(block) {
                continue;
            }
            if self.was_free(block) {
                changes.direct.push((block, bytes));
                continue;
            }
            let mut before = vec![0; bytes.len()];
            self.below.read_at(self.geometry.offset(block), &mut before)?;
            if before != *bytes {
                changes.logged.push((block, bytes));
            }
        }
        Ok(changes)
    }

    /// Writes changes in an order that leaves at least the data whole: content
    /// first, then metadata, the superblock at last.
    pub(crate) fn write_in_order(&self, changes: &Changes, flush: Flush) -> Result<()> {
        let barrier = || if flush == Flush::PowerSafe { self.below.flush() } else { Ok(()) };
        let write = |(block, bytes): &(u64, Arc<[u8]>)| {
            self.below.write_at(self.geometry.offset(*block), bytes)
        };
        let first = SUPERBLOCK_OFFSET / u64::from(self.geometry.block_size);
        changes.direct.iter().try_for_each(write)?;
        barrier()?;
        changes.logged.iter().filter(|(block, _)| *block != first).try_for_each(write)?;
        barrier()?;
        changes.logged.iter().filter(|(block, _)| *block == first).try_for_each(write)?;
        barrier()
    }
}
