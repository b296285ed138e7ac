//! Where everything lies: groups, backups, descriptors, inodes, and which blocks of a group are metadata.

use std::ops::Range;

use super::features::{Compat, Incompat, RoCompat};
use super::group::GroupDescriptor;
use super::superblock::Superblock;
use super::{bitmap, inode};
use crate::{Error, Result};

/// What follows from a superblock's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks_count: u64,
    /// Block of the superblock.
    pub first_data_block: u32,
    /// Blocks of a group, the last excepted.
    pub blocks_per_group: u32,
    /// Clusters of a group: bits of its bitmap.
    pub clusters_per_group: u32,
    /// Blocks of a cluster.
    pub cluster_ratio: u32,
    /// Groups.
    pub groups: u32,
    /// Inodes of every group.
    pub inodes_per_group: u32,
    /// Inodes in all.
    pub inodes_count: u32,
    /// First inode that is not reserved.
    pub first_ino: u32,
    /// Bytes of an inode.
    pub inode_size: u16,
    /// Bytes of a descriptor.
    pub desc_size: u16,
    /// Blocks reserved behind the descriptors of every copy.
    pub reserved_gdt_blocks: u16,
    /// Groups whose metadata lies together.
    pub groups_per_flex: u32,
    sparse_super: bool,
    backup_bgs: Option<[u32; 2]>,
    first_meta_bg: Option<u32>,
}

impl Geometry {
    /// The geometry of a (validated) superblock.
    #[must_use]
    pub fn new(sb: &Superblock) -> Self {
        let features = sb.features();
        let per_group = sb.s_blocks_per_group().max(1);
        let data = sb.blocks_count().saturating_sub(sb.s_first_data_block().into());
        let flex = features.incompat.has(Incompat::FLEX_BG);
        Self {
            block_size: sb.block_size(),
            blocks_count: sb.blocks_count(),
            first_data_block: sb.s_first_data_block(),
            blocks_per_group: per_group,
            clusters_per_group: sb.clusters_per_group(),
            cluster_ratio: sb.cluster_ratio(),
            groups: data.div_ceil(per_group.into()).try_into().unwrap_or(u32::MAX),
            inodes_per_group: sb.s_inodes_per_group().max(1),
            inodes_count: sb.s_inodes_count(),
            first_ino: sb.first_ino(),
            inode_size: sb.inode_size(),
            desc_size: sb.desc_size(),
            reserved_gdt_blocks: sb.s_reserved_gdt_blocks(),
            groups_per_flex: if flex { 1 << sb.s_log_groups_per_flex().min(31) } else { 1 },
            sparse_super: features.ro_compat.has(RoCompat::SPARSE_SUPER),
            backup_bgs: features
                .compat
                .has(Compat::SPARSE_SUPER2)
                .then(|| [sb.s_backup_bgs_0(), sb.s_backup_bgs_1()]),
            first_meta_bg: features.incompat.has(Incompat::META_BG).then(|| sb.s_first_meta_bg()),
        }
    }

    /// Byte offset of a block.
    #[must_use]
    pub fn offset(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_size.into())
    }

    /// True for a block that exists and lies behind the superblock's.
    #[must_use]
    pub fn is_data_block(&self, block: u64) -> bool {
        block > u64::from(self.first_data_block) && block < self.blocks_count
    }

    /// Descriptors of a block.
    #[must_use]
    pub fn descs_per_block(&self) -> u32 {
        self.block_size / u32::from(self.desc_size.max(32))
    }

    /// Blocks of all descriptors together.
    #[must_use]
    pub fn gdt_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descs_per_block())
    }

    /// Blocks of one group's inode table.
    #[must_use]
    pub fn itable_blocks(&self) -> u32 {
        let bytes = u64::from(self.inodes_per_group) * u64::from(self.inode_size);
        bytes.div_ceil(self.block_size.into()) as u32
    }

    /// The group of a block and its number within (in blocks).
    #[must_use]
    pub fn group_of_block(&self, block: u64) -> Option<(u32, u32)> {
        let index = block.checked_sub(self.first_data_block.into())?;
        let per_group = u64::from(self.blocks_per_group);
        (block < self.blocks_count)
            .then(|| ((index / per_group) as u32, (index % per_group) as u32))
    }

    /// First block of a group.
    #[must_use]
    pub fn group_first_block(&self, group: u32) -> u64 {
        u64::from(self.first_data_block) + u64::from(group) * u64::from(self.blocks_per_group)
    }

    /// Blocks of a group; the last may be shorter.
    #[must_use]
    pub fn group_blocks(&self, group: u32) -> u32 {
        let left = self.blocks_count.saturating_sub(self.group_first_block(group));
        left.min(self.blocks_per_group.into()) as u32
    }

    /// The group of an inode and its index there.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for inode 0 and numbers beyond the last.
    pub fn inode_place(&self, ino: u32) -> Result<(u32, u32)> {
        if ino == 0 || ino > self.inodes_count {
            return Err(Error::Corrupt { what: format!("inode {ino} does not exist") });
        }
        Ok(((ino - 1) / self.inodes_per_group, (ino - 1) % self.inodes_per_group))
    }

    /// Byte offset of an inode whose group's table begins at `inode_table`.
    #[must_use]
    pub fn inode_offset(&self, inode_table: u64, index: u32) -> u64 {
        self.offset(inode_table).saturating_add(u64::from(index) * u64::from(self.inode_size))
    }

    /// Whether a group has a copy of the superblock (and, without `meta_bg`,
    /// of the descriptors).
    #[must_use]
    pub fn has_super(&self, group: u32) -> bool {
        if group == 0 {
            return true;
        }
        if let Some(groups) = self.backup_bgs {
            return groups.contains(&group);
        }
        if group == 1 || !self.sparse_super {
            return true;
        }
        // Of thousands of groups nearly all are told by a division by a number that is known here.
        group % 2 == 1
            && (group.is_multiple_of(3) && is_power(group, 3)
                || group.is_multiple_of(5) && is_power(group, 5)
                || group.is_multiple_of(7) && is_power(group, 7))
    }

    /// The groups that hold copies, in order, group 0 first.
    pub fn backup_groups(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.groups).filter(|group| self.has_super(*group))
    }

    /// The groups that begin with metadata of their own place.
    fn heads(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.groups).filter(|group| self.base_blocks(*group) > 0)
    }

    fn in_meta_bg(&self, group: u32) -> bool {
        self.first_meta_bg.is_some_and(|first| group / self.descs_per_block() >= first)
    }

    /// Descriptor blocks at the head of a group: (in use, reserved).
    #[must_use]
    pub fn group_gdt_blocks(&self, group: u32) -> (u32, u32) {
        if self.in_meta_bg(group) {
            let per_block = self.descs_per_block();
            let place = group % per_block;
            let here = place == 0 || place == 1 || place == per_block - 1;
            return (u32::from(here), 0);
        }
        if !self.has_super(group) {
            return (0, 0);
        }
        let used =
            self.first_meta_bg.map_or(self.gdt_blocks(), |first| first.min(self.gdt_blocks()));
        (used, self.reserved_gdt_blocks.into())
    }

    /// Blocks at the head of a group that superblock and descriptors take.
    #[must_use]
    pub fn base_blocks(&self, group: u32) -> u32 {
        let has_super = self.has_super(group);
        if !has_super && self.first_meta_bg.is_none() {
            // Nearly all of them.
            return self.boot_block(group);
        }
        let (used, reserved) = self.group_gdt_blocks(group);
        self.boot_block(group) + u32::from(has_super) + used + reserved
    }

    /// The block that holds descriptor block `n` (descriptors `n * descs_per_block` on).
    #[must_use]
    pub fn gdt_block(&self, n: u32) -> u64 {
        match self.first_meta_bg {
            Some(first) if n >= first => {
                let group = n.saturating_mul(self.descs_per_block());
                let before = self.boot_block(group) + u32::from(self.has_super(group));
                self.group_first_block(group) + u64::from(before)
            }
            _ => u64::from(self.first_data_block + self.boot_block(0)) + 1 + u64::from(n),
        }
    }

    /// With `bigalloc` and blocks of 1,024 bytes groups begin at block 0, but
    /// the first superblock stays at block 1: block 0 is the boot sector's.
    fn boot_block(&self, group: u32) -> u32 {
        u32::from(group == 0 && self.block_size == 1024 && self.first_data_block == 0)
    }

    /// Where the copies of descriptor block `n` lie in other groups.
    #[must_use]
    pub fn gdt_block_backups(&self, n: u32) -> Vec<u64> {
        if self.first_meta_bg.is_some_and(|first| n >= first) {
            let per_block = self.descs_per_block();
            let first = n.saturating_mul(per_block);
            return [first + 1, first.saturating_add(per_block - 1)]
                .into_iter()
                .filter(|group| *group < self.groups && *group != first)
                .map(|group| self.group_first_block(group) + u64::from(self.has_super(group)))
                .collect();
        }
        self.backup_groups()
            .skip(1)
            .filter(|group| !self.in_meta_bg(*group))
            .map(|group| self.group_first_block(group) + 1 + u64::from(n))
            .collect()
    }
}

fn is_power(mut value: u32, base: u32) -> bool {
    while value > 1 && value.is_multiple_of(base) {
        value /= base;
    }
    value == 1
}

/// Every block that is metadata by its place: copies of superblock and
/// descriptors, bitmaps, inode tables, whichever group they serve.
#[derive(Debug, Clone)]
pub struct MetadataMap {
    /// Sorted, not overlapping.
    ranges: Vec<Range<u64>>,
}

impl MetadataMap {
    /// Collects them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when two of them overlap or one lies outside the
    /// filesystem: nothing on it can then be trusted.
    pub fn new(geometry: &Geometry, descriptors: &[GroupDescriptor]) -> Result<Self> {
        // One kind after the other: each lies mostly in order, many in one piece.
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut add = |start: u64, len: u64| match ranges.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.end == start => last.end += len,
            _ => ranges.push(start..start + len),
        };
        for group in geometry.heads() {
            add(geometry.group_first_block(group), geometry.base_blocks(group).into());
        }
        let table = u64::from(geometry.itable_blocks());
        type Place = fn(&GroupDescriptor) -> u64;
        let kinds: [(Place, u64); 3] = [
            (GroupDescriptor::block_bitmap, 1),
            (GroupDescriptor::inode_bitmap, 1),
            (GroupDescriptor::inode_table, table),
        ];
        for (place, len) in kinds {
            for (group, descriptor) in (0..geometry.groups).zip(descriptors) {
                let start = place(descriptor);
                if !geometry.is_data_block(start) || geometry.blocks_count - start < len {
                    return Err(Error::Corrupt {
                        what: format!("group {group}: its metadata lies outside the filesystem"),
                    });
                }
                add(start, len);
            }
        }
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start < last.end => {
                    return Err(Error::Corrupt {
                        what: format!("block {}: two pieces of metadata lie there", range.start),
                    });
                }
                Some(last) if range.start == last.end => last.end = range.end,
                _ => merged.push(range),
            }
        }
        Ok(Self { ranges: merged })
    }

    /// True when `block` is metadata.
    #[must_use]
    pub fn contains(&self, block: u64) -> bool {
        let after = self.ranges.partition_point(|range| range.start <= block);
        after.checked_sub(1).and_then(|n| self.ranges.get(n)).is_some_and(|r| r.contains(&block))
    }

    /// The parts of `within` that are metadata.
    pub fn within(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.ranges.partition_point(|range| range.end <= within.start);
        self.ranges
            .iter()
            .skip(from)
            .take_while({
                let end = within.end;
                move |range| range.start < end
            })
            .map(move |range| range.start.max(within.start)..range.end.min(within.end))
    }

    /// The block bitmap that a `BLOCK_UNINIT` group stands for: its metadata
    /// and the padding behind its last block set, all else clear.
    #[must_use]
    pub fn synthesise(&self, geometry: &Geometry, group: u32) -> Vec<u8> {
        let mut map = vec![0; geometry.block_size as usize];
        self.set_bits(geometry, group).for_each(|bits| bitmap::set_range(&mut map, bits));
        map
    }

    /// True when the block bitmap of a group has all of its metadata and the padding behind its
    /// last block as in use.
    #[must_use]
    pub fn marked(&self, geometry: &Geometry, group: u32, map: &[u8]) -> bool {
        self.set_bits(geometry, group).all(|bits| {
            let end = bits.end.min(geometry.clusters_per_group);
            bitmap::first_clear(map, bits.start..end).is_none()
        })
    }

    /// The bits of a group's block bitmap that are never clear.
    fn set_bits(&self, geometry: &Geometry, group: u32) -> impl Iterator<Item = Range<u32>> + '_ {
        let first = geometry.group_first_block(group);
        let blocks = geometry.group_blocks(group);
        let ratio = u64::from(geometry.cluster_ratio);
        let metadata = self.within(first..first + u64::from(blocks)).map(move |range| {
            let from = (range.start - first) / ratio;
            let to = (range.end - first).div_ceil(ratio);
            from as u32..to as u32
        });
        let padding = blocks.div_ceil(geometry.cluster_ratio)..geometry.block_size * 8;
        metadata.chain([padding])
    }
}

/// The inode bitmap that an `INODE_UNINIT` group stands for: all free, the padding set.
#[must_use]
pub fn synthesise_inode_bitmap(geometry: &Geometry) -> Vec<u8> {
    let mut map = vec![0; geometry.block_size as usize];
    bitmap::set_range(&mut map, geometry.inodes_per_group..geometry.block_size * 8);
    map
}

/// True for inodes that are in use without a name: reserved ones but the root.
#[must_use]
pub fn is_reserved_ino(geometry: &Geometry, ino: u32) -> bool {
    ino < geometry.first_ino && ino != inode::ROOT_INO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_is_marked_when_no_bit_of_the_metadata_is_clear() {
        let disk = std::sync::Arc::new(crate::MemoryDisk::new(20 << 20));
        let mut options = crate::FormatOptions::new([1; 16], [2; 16], crate::Timestamp::default());
        options.block_size = Some(1024);
        crate::format(&*disk, &options).unwrap();
        let fs = crate::Filesystem::open(disk).unwrap();
        let geometry = fs.geometry();
        assert_eq!((geometry.groups, geometry.group_blocks(2)), (3, 20 * 1024 - 1 - 2 * 8192));
        let metadata = MetadataMap::new(geometry, fs.descriptors()).unwrap();
        for group in 0..geometry.groups {
            let least = metadata.synthesise(geometry, group);
            let full = vec![0xff; least.len()];
            for bit in 0..geometry.clusters_per_group {
                let mut map = full.clone();
                bitmap::clear(&mut map, bit);
                let must = bitmap::is_set(&least, bit);
                assert_eq!(metadata.marked(geometry, group, &map), !must, "{group}: {bit}");
            }
            assert!(metadata.marked(geometry, group, &least));
        }
    }

    #[test]
    fn backups_lie_in_powers_of_three_five_and_seven() {
        let found: Vec<u32> =
            (2..400).filter(|g| [3, 5, 7].into_iter().any(|base| is_power(*g, base))).collect();
        assert_eq!(found, [3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }
}
