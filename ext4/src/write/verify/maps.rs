//! Bitmaps and counts: what agrees with what, and what came into use or went.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::rc::Rc;

use super::{Touched, View, wrong};
use crate::Result;
use crate::layout::bitmap;
use crate::layout::checksum::GroupChecksum;
use crate::layout::geometry::synthesise_inode_bitmap;
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT};
use crate::layout::inode::FileKind;

/// Inode bitmaps that were needed.
#[derive(Default)]
pub(super) struct Bits {
    inodes: RefCell<HashMap<u32, Rc<Vec<u8>>>>,
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
    fn block_bitmap(&self, group: u32) -> Result<Vec<u8>> {
        let (geometry, descriptor) = (self.fs.geometry(), self.descriptor(group)?);
        let must = self.metadata.synthesise(geometry, group);
        if descriptor.has_flag(BLOCK_UNINIT) && self.has_group_checksums() {
            return Ok(must);
        }
        let map = self.fs.block(descriptor.block_bitmap())?;
        let bits = geometry.clusters_per_group;
        bitmap::check_block_bitmap(&map, bits, descriptor, self.fs.checksums())?;
        if must.iter().zip(&map).take(bits as usize / 8).any(|(must, is)| must & !is != 0) {
            return wrong(format!("the block bitmap of group {group} has metadata as free"));
        }
        Ok(map)
    }

    fn inode_bitmap(&self, group: u32) -> Result<Rc<Vec<u8>>> {
        if let Some(map) = self.bits.inodes.borrow().get(&group) {
            return Ok(Rc::clone(map));
        }
        let (geometry, descriptor) = (self.fs.geometry(), self.descriptor(group)?);
        let map = if descriptor.has_flag(INODE_UNINIT) && self.has_group_checksums() {
            synthesise_inode_bitmap(geometry)
        } else {
            let map = self.fs.block(descriptor.inode_bitmap())?;
            let bits = geometry.inodes_per_group;
            bitmap::check_inode_bitmap(&map, bits, descriptor, self.fs.checksums())?;
            map
        };
        let map = Rc::new(map);
        self.bits.inodes.borrow_mut().insert(group, Rc::clone(&map));
        Ok(map)
    }

    pub(super) fn inode_in_use(&self, ino: u32) -> Result<bool> {
        let (group, index) = self.fs.geometry().inode_place(ino)?;
        Ok(bitmap::is_set(&self.inode_bitmap(group)?, index))
    }
}

/// Holds the groups that changed against their bitmaps and the sums of all against the
/// superblock.
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
    for (group, descriptor) in (0..after.fs.geometry().groups).zip(after.fs.descriptors()) {
        let bitmaps = [descriptor.block_bitmap(), descriptor.inode_bitmap()];
        let same = before.fs.descriptors().get(group as usize) == Some(descriptor);
        if !same || bitmaps.iter().any(|block| changed.contains(block)) {
            group_blocks(before, after, group, &mut delta)?;
            group_inodes(before, after, group, &mut delta)?;
        }
    }
    Ok(delta)
}

fn group_blocks(before: &View, after: &View, group: u32, delta: &mut Delta) -> Result<()> {
    let geometry = after.fs.geometry();
    let now = after.block_bitmap(group)?;
    let len = geometry.group_blocks(group);
    let free = bitmap::count_clear(&now, len);
    let says = after.descriptor(group)?.free_blocks_count();
    if free != says {
        return wrong(format!("group {group} has {free} free blocks and says {says}"));
    }
    if (len..geometry.clusters_per_group).any(|bit| !bitmap::is_set(&now, bit)) {
        return wrong(format!("the block bitmap of group {group} goes on behind its end"));
    }
    // What lies behind the old end of a filesystem that grows was nobody's.
    let mut old = after.metadata.synthesise(geometry, group);
    if group < before.fs.geometry().groups {
        let map = before.block_bitmap(group)?;
        for bit in 0..before.fs.geometry().group_blocks(group) {
            match bitmap::is_set(&map, bit) {
                true => bitmap::set(&mut old, bit),
                false => bitmap::clear(&mut old, bit),
            }
        }
    }
    let first = geometry.group_first_block(group);
    let mut add = |list: fn(&mut Delta) -> &mut Vec<Range<u64>>, bit: u32| {
        let block = first + u64::from(bit);
        let list = list(delta);
        match list.last_mut() {
            Some(last) if last.end == block => last.end += 1,
            _ => list.push(block..block + 1),
        }
    };
    for (byte, (old, now)) in (0..).zip(old.iter().zip(&now)) {
        if old == now {
            continue;
        }
        for bit in byte * 8..(byte * 8 + 8).min(len) {
            match (old >> (bit % 8) & 1, now >> (bit % 8) & 1) {
                (0, 1) => add(|delta| &mut delta.gained, bit),
                (1, 0) => add(|delta| &mut delta.lost, bit),
                _ => {}
            }
        }
    }
    Ok(())
}

fn group_inodes(before: &View, after: &View, group: u32, delta: &mut Delta) -> Result<()> {
    let geometry = after.fs.geometry();
    let len = geometry.inodes_per_group;
    let now = after.inode_bitmap(group)?;
    let descriptor = after.descriptor(group)?;
    let (free, says) = (bitmap::count_clear(&now, len), descriptor.free_inodes_count());
    if free != says {
        return wrong(format!("group {group} has {free} free inodes and says {says}"));
    }
    let old = match group < before.fs.geometry().groups {
        true => before.inode_bitmap(group)?,
        false => Rc::new(synthesise_inode_bitmap(geometry)),
    };
    let unused_from = len.saturating_sub(descriptor.itable_unused());
    for index in 0..len {
        let (was, is) = (bitmap::is_set(&old, index), bitmap::is_set(&now, index));
        if is && index >= unused_from && after.has_group_checksums() {
            return wrong(format!("group {group}: an inode in use counts as never used"));
        }
        let ino = group * len + index + 1;
        match (was, is) {
            (false, true) => drop(delta.inodes_gained.insert(ino)),
            (true, false) => drop(delta.inodes_lost.insert(ino)),
            _ => {}
        }
    }
    Ok(())
}

/// Counts of directories in groups went up and down with them.
pub(super) fn directories(
    before: &View,
    after: &View,
    touched: &BTreeMap<u32, Touched>,
) -> Result<()> {
    let mut change: HashMap<u32, i64> = HashMap::new();
    for (ino, inode) in touched {
        let (group, _) = after.fs.geometry().inode_place(*ino)?;
        let is = |inode: &Option<_>| {
            let kind = inode.as_ref().and_then(crate::layout::inode::Inode::kind);
            i64::from(kind == Some(FileKind::Directory))
        };
        *change.entry(group).or_default() += is(&inode.after) - is(&inode.before);
    }
    for (group, descriptor) in (0..).zip(after.fs.descriptors()) {
        let old = before.fs.descriptors().get(group as usize);
        let old = old.map_or(0, GroupDescriptor::used_dirs_count);
        let counted = i64::from(descriptor.used_dirs_count()) - i64::from(old);
        if counted != change.get(&group).copied().unwrap_or(0) {
            return wrong(format!("group {group} counts its directories wrong"));
        }
    }
    Ok(())
}
