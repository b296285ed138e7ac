//! Descriptors, bitmaps and copies of a new filesystem.

use std::sync::Arc;

use super::place::{Space, Tables};
use super::writes::Writes;
use crate::layout::bitmap;
use crate::layout::checksum::Checksums;
use crate::layout::geometry::Geometry;
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT, INODE_ZEROED};

/// Writes the bitmaps that must exist and gives all descriptors, with their checksums. The first `inodes` are in
/// use; `zeroed` as [`super::FormatOptions::zeroed`].
pub(super) fn describe(
    geometry: &Geometry,
    checksums: &Checksums,
    space: &Space,
    tables: &[Tables],
    (zeroed, inodes): (bool, u32),
    writes: &mut Writes,
) -> Vec<GroupDescriptor> {
    let mut descriptors = Vec::with_capacity(tables.len());
    let mut last: Option<BlockBitmap> = None;
    for ((group, place), used) in (0u32..).zip(tables).zip(&space.used) {
        let blocks = geometry.group_blocks(group);
        let mut new = GroupDescriptor::blank(geometry.desc_size);
        new.set_block_bitmap(place.block_bitmap);
        new.set_inode_bitmap(place.inode_bitmap);
        new.set_inode_table(place.inode_table);
        new.set_free_blocks_count(blocks - *used);
        let mut flags = if zeroed { INODE_ZEROED } else { 0 };
        // The last group's bitmap exists although it could be left out: old
        // kernels did not know of the padding behind its end.
        let plain = *used == geometry.base_blocks(group);
        if plain && group != 0 && group + 1 != geometry.groups {
            flags |= BLOCK_UNINIT;
        } else {
            let known = last.take().filter(|last| (last.used, last.blocks) == (*used, blocks));
            let made =
                known.unwrap_or_else(|| BlockBitmap::new(geometry, checksums, *used, blocks));
            new.set_block_bitmap_csum(made.sum);
            writes.push(geometry.offset(place.block_bitmap), Arc::clone(&made.map));
            last = Some(made);
        }
        let in_use = if group == 0 { inodes } else { 0 };
        new.set_free_inodes_count(geometry.inodes_per_group - in_use);
        new.set_itable_unused(geometry.inodes_per_group - in_use);
        if group == 0 {
            new.set_used_dirs_count(2);
            let mut map = vec![0; geometry.block_size as usize];
            bitmap::set_range(&mut map, 0..in_use);
            bitmap::set_range(&mut map, geometry.inodes_per_group..geometry.block_size * 8);
            let bits = geometry.inodes_per_group;
            bitmap::sum_inode_bitmap(&map, bits, &mut new, checksums);
            writes.push(geometry.offset(place.inode_bitmap), map);
        } else {
            flags |= INODE_UNINIT;
        }
        new.set_bg_flags(flags);
        descriptors.push(new.summed(group, checksums));
    }
    descriptors
}

/// A bitmap with its checksum. Groups that begin with the metadata of as many have the same one:
/// it is made, summed and held once.
struct BlockBitmap {
    used: u32,
    blocks: u32,
    map: Arc<Vec<u8>>,
    sum: u32,
}

impl BlockBitmap {
    fn new(geometry: &Geometry, checksums: &Checksums, used: u32, blocks: u32) -> Self {
        let mut map = vec![0; geometry.block_size as usize];
        bitmap::set_range(&mut map, 0..used);
        bitmap::set_range(&mut map, blocks..geometry.block_size * 8);
        let mut summed = GroupDescriptor::blank(geometry.desc_size);
        bitmap::sum_block_bitmap(&map, geometry.clusters_per_group, &mut summed, checksums);
        Self { used, blocks, map: Arc::new(map), sum: summed.block_bitmap_csum() }
    }
}

/// The descriptor table's bytes, a whole number of blocks.
pub(super) fn descriptor_table(geometry: &Geometry, descriptors: &[GroupDescriptor]) -> Vec<u8> {
    let len = geometry.gdt_blocks() as usize * geometry.block_size as usize;
    let mut table = Vec::with_capacity(len);
    for descriptor in descriptors {
        table.extend_from_slice(descriptor.bytes());
    }
    table.resize(len, 0);
    table
}
