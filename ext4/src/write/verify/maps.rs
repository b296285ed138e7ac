//! Bitmaps and counts: what agrees with what, and what came into use or went.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Touched, View, wrong};
use crate::Result;
use crate::layout::bitmap;
use crate::layout::checksum::GroupChecksum;
use crate::layout::geometry::synthesise_inode_bitmap;
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT};
use crate::layout::inode::FileKind;
use crate::number_map::NumberMap;

/// Inode bitmaps that were needed.
#[derive(Default)]
pub(super) struct Bits {
    inodes: RefCell<NumberMap<u32, Arc<[u8]>>>,
    /// The one of every group whose inodes were never used.
    unused: OnceCell<Arc<[u8]>>,
}

/// What came into use and what went.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) gained: Vec<Range<u64>>,
    pub(super) lost: Vec<Range<u64>>,
    pub(super) inodes_gained: BTreeSet<u32>,
    pub(super) inodes_lost: BTreeSet<u32>,
}

impl View {
    fn descriptor(&self, group: u32) -> Result<&GroupDescriptor> {
        match self.fs.descriptors().get(group as usize) {
            Some(descriptor) => Ok(descriptor),
            None => wrong(format!("group {group} has no descriptor")),
        }
    }

    fn has_group_checksums(&self) -> bool {
        self.fs.checksums().group != GroupChecksum::None
    }

    /// A group's block bitmap, right in itself.
    fn block_bitmap(&self, group: u32) -> Result<Arc<[u8]>> {
        let (geometry, descriptor) = (self.fs.geometry(), self.descriptor(group)?);
        if descriptor.has_flag(BLOCK_UNINIT) && self.has_group_checksums() {
            return Ok(self.metadata.synthesise(geometry, group).into());
        }
        let map = self.fs.block(descriptor.block_bitmap())?;
        let bits = geometry.clusters_per_group;
        bitmap::check_block_bitmap(&map, bits, descriptor, self.fs.checksums())?;
        if !self.metadata.marked(geometry, group, &map) {
            return wrong(format!("the block bitmap of group {group} has metadata as free"));
        }
        Ok(map)
    }

    /// That no inode of the group was ever used needs no bitmap.
    fn has_no_inodes(&self, descriptor: &GroupDescriptor) -> bool {
        descriptor.has_flag(INODE_UNINIT) && self.has_group_checksums()
    }

    fn unused(&self) -> Arc<[u8]> {
        let make = || synthesise_inode_bitmap(self.fs.geometry()).into();
        Arc::clone(self.bits.unused.get_or_init(make))
    }

    fn inode_bitmap(&self, group: u32) -> Result<Arc<[u8]>> {
        let (geometry, descriptor) = (self.fs.geometry(), self.descriptor(group)?);
        if self.has_no_inodes(descriptor) {
            return Ok(self.unused());
        }
        if let Some(map) = self.bits.inodes.borrow().get(&group) {
            return Ok(Arc::clone(map));
        }
        let map = self.fs.block(descriptor.inode_bitmap())?;
        let bits = geometry.inodes_per_group;
        bitmap::check_inode_bitmap(&map, bits, descriptor, self.fs.checksums())?;
        self.bits.inodes.borrow_mut().insert(group, Arc::clone(&map));
        Ok(map)
    }

    pub(super) fn inode_in_use(&self, ino: u32) -> Result<bool> {
        let (group, index) = self.fs.geometry().inode_place(ino)?;
        Ok(bitmap::is_set(&self.inode_bitmap(group)?, index))
    }
}

/// What a descriptor says of the blocks of its group: where their bitmap is, its checksum, how many
/// are free, and whether it is there.
fn of_blocks(d: &GroupDescriptor) -> (u64, u32, u32, bool) {
    (d.block_bitmap(), d.block_bitmap_csum(), d.free_blocks_count(), d.has_flag(BLOCK_UNINIT))
}

/// The same of its inodes, and how many at the end were never used.
fn of_inodes(d: &GroupDescriptor) -> (u64, u32, u32, bool, u32) {
    let uninit = d.has_flag(INODE_UNINIT);
    let free = d.free_inodes_count();
    (d.inode_bitmap(), d.inode_bitmap_csum(), free, uninit, d.itable_unused())
}

/// Holds the groups whose blocks or inodes changed against the bitmaps of these, and the sums of all
/// against the superblock.
pub(super) fn compare(before: &View, after: &View, changed: &BTreeSet<u64>) -> Result<Delta> {
    let sb = after.fs.superblock();
    let sum = |of: fn(&GroupDescriptor) -> u32| {
        after.fs.descriptors().iter().map(|d| u64::from(of(d))).sum::<u64>()
    };
    if sum(GroupDescriptor::free_blocks_count) != sb.free_blocks_count()
        || sum(GroupDescriptor::free_inodes_count) != u64::from(sb.s_free_inodes_count())
    {
        return wrong("the superblock's counts are not those of the groups".to_owned());
    }
    let mut delta = Delta::default();
    let (was, is) = (before.fs.geometry(), after.fs.geometry());
    for (group, descriptor) in (0..is.groups).zip(after.fs.descriptors()) {
        let old = before.fs.descriptors().get(group as usize);
        if old.map(of_blocks) != Some(of_blocks(descriptor))
            || was.group_blocks(group) != is.group_blocks(group)
            || changed.contains(&descriptor.block_bitmap())
        {
            group_blocks(before, after, group, &mut delta)?;
        }
        if old.map(of_inodes) != Some(of_inodes(descriptor))
            || changed.contains(&descriptor.inode_bitmap())
        {
            group_inodes(before, after, group, &mut delta)?;
        }
    }
    Ok(delta)
}

fn group_blocks(before: &View, after: &View, group: u32, delta: &mut Delta) -> Result<()> {
    let (old, new) = (before.fs.geometry(), after.fs.geometry());
    let (len, first) = (new.group_blocks(group), new.group_first_block(group));
    let descriptor = after.descriptor(group)?;
    let says = descriptor.free_blocks_count();
    let agree = |free: u32| match free == says {
        true => Ok(()),
        false => wrong(format!("group {group} has {free} free blocks and says {says}")),
    };
    let is_new = group >= old.groups;
    if is_new && descriptor.has_flag(BLOCK_UNINIT) && after.has_group_checksums() {
        // Its bitmap is not written: it stands for the metadata that is there and nothing else.
        let metadata = after.metadata.within(first..first + u64::from(len));
        let used: u64 = metadata.map(|range| range.end - range.start).sum();
        return agree(len.saturating_sub(used as u32));
    }
    let now = after.block_bitmap(group)?;
    agree(bitmap::count_clear(&now, len))?;
    let all = new.clusters_per_group;
    if len != all && bitmap::count_clear(&now, all) != says {
        return wrong(format!("the block bitmap of group {group} goes on behind its end"));
    }
    let was = match is_new {
        true => after.metadata.synthesise(new, group).into(),
        false => {
            let mut map = before.block_bitmap(group)?;
            // What lies behind the old end of a filesystem that grows was nobody's.
            if old.group_blocks(group) != len {
                let behind = after.metadata.synthesise(new, group);
                for bit in old.group_blocks(group)..len {
                    if !bitmap::is_set(&behind, bit) {
                        bitmap::clear(Arc::make_mut(&mut map), bit);
                    }
                }
            }
            map
        }
    };
    for (bit, is_set) in bitmap::differences(&was, &now, len) {
        let list = if is_set { &mut delta.gained } else { &mut delta.lost };
        let block = first + u64::from(bit);
        match list.last_mut() {
            Some(last) if last.end == block => last.end += 1,
            _ => list.push(block..block + 1),
        }
    }
    Ok(())
}

fn group_inodes(before: &View, after: &View, group: u32, delta: &mut Delta) -> Result<()> {
    let geometry = after.fs.geometry();
    let len = geometry.inodes_per_group;
    let now = after.inode_bitmap(group)?;
    let descriptor = after.descriptor(group)?;
    let unused = after.has_no_inodes(descriptor);
    let free = if unused { len } else { bitmap::count_clear(&now, len) };
    let says = descriptor.free_inodes_count();
    if free != says {
        return wrong(format!("group {group} has {free} free inodes and says {says}"));
    }
    let unused_from = len.saturating_sub(descriptor.itable_unused());
    if !unused && after.has_group_checksums() && bitmap::any_set(&now, unused_from..len) {
        return wrong(format!("group {group}: an inode in use counts as never used"));
    }
    let was = match group < before.fs.geometry().groups {
        true => before.inode_bitmap(group)?,
        false => after.unused(),
    };
    if Arc::ptr_eq(&was, &now) {
        return Ok(());
    }
    for (index, is_set) in bitmap::differences(&was, &now, len) {
        let list = if is_set { &mut delta.inodes_gained } else { &mut delta.inodes_lost };
        list.insert(group * len + index + 1);
    }
    Ok(())
}

/// Counts of directories in groups went up and down with them.
pub(super) fn directories(
    before: &View,
    after: &View,
    touched: &BTreeMap<u32, Touched>,
) -> Result<()> {
    let mut change: BTreeMap<u32, i64> = BTreeMap::new();
    for (ino, inode) in touched {
        let (group, _) = after.fs.geometry().inode_place(*ino)?;
        let is = |inode: &Option<_>| {
            let kind = inode.as_ref().and_then(crate::layout::inode::Inode::kind);
            i64::from(kind == Some(FileKind::Directory))
        };
        *change.entry(group).or_default() += is(&inode.after) - is(&inode.before);
    }
    change.retain(|_, change| *change != 0);
    let mut expected = change.into_iter().peekable();
    for (group, descriptor) in (0..).zip(after.fs.descriptors()) {
        let old = before.fs.descriptors().get(group as usize);
        let old = old.map_or(0, GroupDescriptor::used_dirs_count);
        let counted = i64::from(descriptor.used_dirs_count()) - i64::from(old);
        let expected = expected.next_if(|(number, _)| *number == group);
        if counted != expected.map_or(0, |(_, change)| change) {
            return wrong(format!("group {group} counts its directories wrong"));
        }
    }
    Ok(())
}
