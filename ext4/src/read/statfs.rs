//! How large a filesystem is and what is free on it, as statfs(2) tells.

use crate::Filesystem;
use crate::layout::features::Incompat;
use crate::layout::group::GroupDescriptor;

/// What statfs(2) would say of the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statfs {
    /// `f_bsize`: bytes of a block.
    pub block_size: u32,
    /// `f_blocks`: blocks that can hold data, the journal's and all metadata left out.
    pub blocks: u64,
    /// `f_bfree`: blocks that are free.
    pub blocks_free: u64,
    /// `f_bavail`: those of them that are not kept for the superuser.
    pub blocks_available: u64,
    /// `f_files`: inodes in all.
    pub inodes: u32,
    /// `f_ffree`: inodes that are free.
    pub inodes_free: u32,
}

impl Filesystem {
    /// Counts from the descriptors, as a mount does: the superblock's own counts may be
    /// stale on a filesystem that was not unmounted.
    #[must_use]
    pub fn statfs(&self) -> Statfs {
        let sb = self.superblock();
        let geometry = self.geometry();
        let ratio = u64::from(geometry.cluster_ratio);
        let free: u64 = self.descriptors().iter().map(|d| u64::from(d.free_blocks_count())).sum();
        let blocks_free = free * ratio;
        let overhead = match sb.s_overhead_blocks() {
            0 => self.overhead(),
            known => u64::from(known) * ratio,
        };
        let blocks = geometry.blocks_count.saturating_sub(overhead);
        // The kernel keeps some clusters back, too, to split extents with.
        let extents = sb.features().incompat.has(Incompat::EXTENTS);
        let kept = (geometry.blocks_count / ratio / 50).min(4096) * ratio;
        let kept = if extents { kept } else { 0 };
        Statfs {
            block_size: geometry.block_size,
            blocks,
            blocks_free,
            blocks_available: blocks_free.saturating_sub(sb.r_blocks_count() + kept),
            inodes: geometry.inodes_count,
            inodes_free: self
                .descriptors()
                .iter()
                .map(GroupDescriptor::free_inodes_count)
                .fold(0, u32::saturating_add),
        }
    }

    /// Blocks of metadata, where the superblock does not say.
    fn overhead(&self) -> u64 {
        let geometry = self.geometry();
        let tables = u64::from(2 + geometry.itable_blocks());
        let groups: u64 =
            (0..geometry.groups).map(|group| u64::from(geometry.base_blocks(group)) + tables).sum();
        let journal = match self.superblock().s_journal_inum() {
            0 => 0,
            ino => self.inode(ino).map_or(0, |inode| inode.size() / u64::from(geometry.block_size)),
        };
        u64::from(geometry.first_data_block) + groups + journal
    }
}
