//! The blocks that were reserved for descriptors, and the inode that owns them.

use crate::layout::geometry::Geometry;
use crate::layout::inode::{Inode, RESIZE_INO};
use crate::write::Volume;
use crate::{Error, Result, le};

/// Where the inode has the pointer to its block of pointers (the doubly indirect one).
const POINTERS: usize = 13 * 4;

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("the resize inode: {what}") }
}

/// The slot of the `n`-th descriptor block in the block of pointers.
fn slot(geometry: &Geometry, n: u32) -> usize {
    (n % (geometry.block_size / 4)) as usize * 4
}

impl Volume {
    /// The resize inode, its block of pointers, and the reserved blocks, all where they
    /// must be: first of all, since the kernel believes them when it grows a filesystem.
    fn resize_inode(&mut self, old: &Geometry) -> Result<(Inode, u64)> {
        let inode = self.read_inode(RESIZE_INO)?;
        let pointers = u64::from(le::get_or_zero::<u32>(&inode.i_block(), POINTERS));
        if !old.is_data_block(pointers) || self.metadata.contains(pointers) {
            return Err(corrupt("its block of pointers is not where it can be"));
        }
        let list = self.blocks.read(pointers)?.to_vec();
        let backups = backups(old);
        for n in reserved(old) {
            let block = old.gdt_block(n);
            if u64::from(le::get_or_zero::<u32>(&list, slot(old, n))) != block {
                return Err(corrupt("a block is not the one that was reserved"));
            }
            let copies = self.blocks.read(block)?;
            for (k, first) in backups.iter().enumerate() {
                let named = u64::from(le::get_or_zero::<u32>(copies, k * 4));
                if named != first + 1 + u64::from(n) {
                    return Err(corrupt("a copy is not the one that was reserved"));
                }
            }
        }
        Ok((inode, pointers))
    }

    /// Hands the reserved blocks that become descriptors over to them, and takes those of
    /// new groups in.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the inode is not as it must be.
    pub(super) fn rewrite_resize_inode(&mut self, old: &Geometry, new: &Geometry) -> Result<()> {
        let (mut inode, pointers) = self.resize_inode(old)?;
        let backups = backups(new);
        if backups.len() > (new.block_size / 4) as usize {
            return Err(corrupt("it cannot hold so many copies"));
        }
        for n in old.gdt_blocks()..new.gdt_blocks() {
            le::put(self.blocks.edit(pointers)?, slot(old, n), 0_u32);
        }
        for n in reserved(new) {
            let copies = self.blocks.edit(new.gdt_block(n))?;
            for (k, first) in backups.iter().enumerate() {
                le::put(copies, k * 4, (first + 1 + u64::from(n)) as u32);
            }
        }
        let owned = 1 + u64::from(new.reserved_gdt_blocks) * (1 + backups.len() as u64);
        inode.set_sectors(owned * u64::from(new.block_size / 512), new.block_size);
        self.write_inode(RESIZE_INO, &inode)
    }

    /// Empties the resize inode: all that it owned becomes descriptors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the inode is not as it must be.
    pub(super) fn drop_resize_inode(&mut self, old: &Geometry) -> Result<()> {
        let (mut inode, pointers) = self.resize_inode(old)?;
        self.free_run(pointers..pointers + 1)?;
        inode.set_i_block(&[0; 60]);
        inode.set_size(0);
        inode.set_sectors(0, old.block_size);
        self.write_inode(RESIZE_INO, &inode)
    }
}

/// The first blocks of the groups that have copies, but for the first group.
fn backups(geometry: &Geometry) -> Vec<u64> {
    geometry.backup_groups().skip(1).map(|group| geometry.group_first_block(group)).collect()
}

/// The numbers of reserved descriptor blocks.
fn reserved(geometry: &Geometry) -> std::ops::Range<u32> {
    let first = geometry.gdt_blocks();
    first..first + u32::from(geometry.reserved_gdt_blocks)
}
