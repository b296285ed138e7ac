//! Which inodes a block holds, and whether any of them was ever in use.

use crate::Filesystem;
use crate::layout::checksum::GroupChecksum;
use crate::layout::group::{GroupDescriptor, INODE_UNINIT};

/// The inode tables of all groups.
pub(super) struct InodeTables {
    /// First block and group, in the order of the blocks.
    tables: Vec<(u64, u32)>,
    /// Blocks of each.
    blocks: u64,
    /// Inodes in a block.
    per_block: u64,
    /// Inodes in a table.
    inodes: u32,
}

/// Inodes of one block: their group, and their places in its table.
pub(super) struct InBlock {
    pub(super) group: u32,
    pub(super) first: u32,
    pub(super) end: u32,
}

impl InodeTables {
    pub(super) fn new(filesystem: &Filesystem) -> Self {
        let geometry = filesystem.geometry();
        let tables = filesystem.descriptors().iter().map(GroupDescriptor::inode_table);
        let mut tables: Vec<_> = tables.zip(0..).collect();
        tables.sort_unstable();
        let per_block = geometry.block_size / u32::from(geometry.inode_size.max(1));
        let (blocks, per_block) = (geometry.itable_blocks().into(), per_block.into());
        Self { tables, blocks, per_block, inodes: geometry.inodes_per_group }
    }

    /// The inodes of a block, if it is one of a table.
    pub(super) fn inodes_in(&self, block: u64) -> Option<InBlock> {
        let at = self.tables.partition_point(|(table, _)| *table <= block);
        let (table, group) = *self.tables.get(at.checked_sub(1)?)?;
        let number = block.checked_sub(table).filter(|number| *number < self.blocks)?;
        let place = |number: u64| (number * self.per_block).min(self.inodes.into()) as u32;
        Some(InBlock { group, first: place(number), end: place(number + 1) })
    }
}

impl InBlock {
    /// Whether none of them was ever in use: what the block holds means nothing then, and may be a
    /// hole that takes longer to read than what is in use.
    pub(super) fn never_used(&self, filesystem: &Filesystem) -> bool {
        if filesystem.checksums().group == GroupChecksum::None {
            return false;
        }
        let all = filesystem.geometry().inodes_per_group;
        filesystem.descriptors().get(self.group as usize).is_some_and(|descriptor| {
            let unused = match descriptor.has_flag(INODE_UNINIT) {
                true => all,
                false => descriptor.itable_unused().min(all),
            };
            self.first >= all - unused
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Disk, FormatOptions, MemoryDisk, Timestamp};

    #[test]
    fn every_block_of_a_table_has_its_inodes_and_those_behind_the_last_were_never_used() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(300 << 20));
        let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
        crate::format(&*disk, &FormatOptions::new([1; 16], [2; 16], now)).unwrap();
        let filesystem = Filesystem::open(disk).unwrap();
        let geometry = *filesystem.geometry();
        let tables = InodeTables::new(&filesystem);
        let mut of_group = vec![0; geometry.groups as usize];
        assert!(of_group.len() > 2);
        for block in 0..geometry.blocks_count {
            let Some(inodes) = tables.inodes_in(block) else { continue };
            let descriptor = &filesystem.descriptors()[inodes.group as usize];
            let first = geometry.inode_offset(descriptor.inode_table(), inodes.first);
            assert_eq!(first, geometry.offset(block));
            let next = &mut of_group[inodes.group as usize];
            assert_eq!(inodes.first, *next, "in turn");
            *next = inodes.end;
            // Of all groups only the first has inodes in use: the reserved ones and `lost+found`.
            let last = geometry.first_ino;
            let never = inodes.group > 0 || inodes.first >= last;
            assert_eq!(inodes.never_used(&filesystem), never, "block {block}");
        }
        assert!(of_group.iter().all(|inodes| *inodes == geometry.inodes_per_group));
    }
}
