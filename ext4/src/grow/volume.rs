//! The growth itself, in memory: groups, descriptors, copies.

use std::ops::Range;
use std::sync::Arc;

use super::target::target;
use crate::format::{Space, Tables};
use crate::layout::bitmap;
use crate::layout::features::Compat;
use crate::layout::geometry::{Geometry, MetadataMap, synthesise_inode_bitmap};
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT, INODE_ZEROED};
use crate::layout::superblock::SUPERBLOCK_OFFSET;
use crate::write::{BlockMap, Group, Volume};
use crate::{Batch, Error, Result};

impl Batch {
    /// Grows the filesystem to a disk of `len` bytes; gives its bytes before and after.
    pub(super) fn grow(&mut self, len: u64, zeroed: bool) -> Result<(u64, u64)> {
        self.run(|volume| {
            let bytes = |geometry: &Geometry| geometry.offset(geometry.blocks_count);
            let before = bytes(&volume.geometry);
            volume.grow_to(len, zeroed)?;
            Ok((before, bytes(&volume.geometry)))
        })
    }

    /// Blocks that can never hold data: `s_overhead_clusters`.
    pub(super) fn overhead(&self) -> u32 {
        self.volume.overhead
    }
}

impl Volume {
    fn grow_to(&mut self, len: u64, zeroed: bool) -> Result<()> {
        let Some(sb) = target(&self.sb, len)? else { return Ok(()) };
        let tracked = self.has_group_checksums();
        if !tracked && !zeroed {
            let feature = "no checksums of groups, and the new part of the disk is not known to \
                           be zero: growing it"
                .to_owned();
            return Err(Error::Incompatible { feature });
        }
        let (old, new) = (self.geometry, Geometry::new(&sb));
        if self.has_compat(Compat::RESIZE_INODE) {
            if sb.features().compat.has(Compat::RESIZE_INODE) {
                self.blocks.set_count(new.blocks_count);
                self.rewrite_resize_inode(&old, &new)?;
            } else {
                self.drop_resize_inode(&old)?;
            }
        }
        // Loaded while it is what it was; its end is not the filesystem's any more.
        let last = old.groups.saturating_sub(1);
        self.block_map(last)?;
        self.blocks.set_count(new.blocks_count);
        self.overhead = overhead(&self.sb, &old, &new);
        self.sb = sb;
        self.geometry = new;
        self.lengthen(last, old.group_blocks(last)..new.group_blocks(last))?;
        self.add_groups(old.groups, zeroed, tracked)?;
        let descriptors: Vec<_> = self.groups.iter().map(|group| group.descriptor).collect();
        self.metadata = Arc::new(MetadataMap::new(&new, &descriptors)?);
        // What a block of descriptors held before it became one means nothing.
        for n in old.gdt_blocks()..new.gdt_blocks() {
            self.blocks.fresh(new.gdt_block(n))?;
        }
        self.write_copies()
    }

    /// The blocks `added` of the group that was the last become free.
    fn lengthen(&mut self, group: u32, added: Range<u32>) -> Result<()> {
        let map = self.block_map(group)?;
        let bits = Arc::make_mut(&mut map.now);
        added.clone().for_each(|bit| bitmap::clear(bits, bit));
        let descriptor = &mut self.group(group)?.descriptor;
        let free = descriptor.free_blocks_count() + (added.end - added.start);
        descriptor.set_free_blocks_count(free);
        Ok(())
    }

    /// The groups from `first` on, with their metadata in the new part of the disk.
    fn add_groups(&mut self, first: u32, zeroed: bool, tracked: bool) -> Result<()> {
        let geometry = self.geometry;
        let mut space = Space::new(geometry);
        for used in space.used.iter_mut().take(first as usize) {
            *used = u32::MAX;
        }
        let tables = space.tables_from(first)?;
        // Nothing there was in use before: whatever is written goes to its place at once.
        let nothing: Arc<[u8]> = vec![0; geometry.block_size as usize].into();
        for (number, place) in (first..).zip(tables) {
            let used = space.used.get(number as usize).copied().unwrap_or(0);
            let group = new_group(&geometry, number, &place, (used, &nothing), (zeroed, tracked));
            if !tracked {
                let bitmap = synthesise_inode_bitmap(&geometry);
                self.blocks.fresh(place.inode_bitmap)?.copy_from_slice(&bitmap);
            }
            self.groups.push(group);
        }
        Ok(())
    }

    /// Brings the copies of superblock and descriptors up to date.
    fn write_copies(&mut self) -> Result<()> {
        self.sync()?;
        let geometry = self.geometry;
        for n in 0..geometry.gdt_blocks() {
            let bytes = self.blocks.read(geometry.gdt_block(n))?.to_vec();
            for copy in geometry.gdt_block_backups(n) {
                self.blocks.fresh(copy)?.copy_from_slice(&bytes);
            }
        }
        for group in geometry.backup_groups().skip(1) {
            let mut sb = self.sb.clone();
            sb.set_s_block_group_nr(group as u16);
            let block = self.blocks.fresh(geometry.group_first_block(group))?;
            crate::le::put_bytes(block, 0, &sb.encode());
        }
        debug_assert!(geometry.offset(geometry.group_first_block(1)) > SUPERBLOCK_OFFSET);
        Ok(())
    }
}

/// A group in which nothing is in use but metadata at its front; `nothing` is a bitmap of which
/// no bit is set.
fn new_group(
    geometry: &Geometry,
    number: u32,
    place: &Tables,
    (used, nothing): (u32, &Arc<[u8]>),
    (zeroed, tracked): (bool, bool),
) -> Group {
    let blocks = geometry.group_blocks(number);
    let mut descriptor = GroupDescriptor::blank(geometry.desc_size);
    descriptor.set_block_bitmap(place.block_bitmap);
    descriptor.set_inode_bitmap(place.inode_bitmap);
    descriptor.set_inode_table(place.inode_table);
    descriptor.set_free_blocks_count(blocks.saturating_sub(used));
    descriptor.set_free_inodes_count(geometry.inodes_per_group);
    // As with new filesystems, the last group's bitmap exists although it could be left out.
    let plain = used == geometry.base_blocks(number) && number + 1 != geometry.groups;
    if tracked {
        descriptor.set_itable_unused(geometry.inodes_per_group);
        let mut flags = INODE_UNINIT;
        if plain {
            flags |= BLOCK_UNINIT;
        }
        if zeroed {
            flags |= INODE_ZEROED;
        }
        descriptor.set_bg_flags(flags);
    }
    let changed = !(tracked && plain);
    let map = || {
        let mut now = vec![0; geometry.block_size as usize];
        bitmap::set_range(&mut now, 0..used);
        bitmap::set_range(&mut now, blocks..geometry.block_size * 8);
        let (held, begin) = (Arc::clone(nothing), Arc::clone(nothing));
        Box::new(BlockMap { held, begin, now: now.into(), changed })
    };
    // Most groups are never looked at again, and their bitmaps need not be held.
    let keep = changed || used > 0;
    Group { descriptor, changed: true, blocks: keep.then(map), inodes: None }
}

/// `s_overhead_clusters` after the growth. Zero, which lets the kernel count itself, stays.
fn overhead(sb: &crate::layout::superblock::Superblock, old: &Geometry, new: &Geometry) -> u32 {
    let before = sb.s_overhead_blocks();
    if before == 0 {
        return 0;
    }
    let each = 2 + u64::from(new.itable_blocks());
    let added: u64 =
        (old.groups..new.groups).map(|group| u64::from(new.base_blocks(group)) + each).sum();
    u32::try_from(u64::from(before) + added).unwrap_or(0)
}
