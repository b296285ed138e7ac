//! Inodes: read, written, given out and taken back.

use std::sync::Arc;

use super::volume::{InodeMap, Volume};
use crate::layout::bitmap;
use crate::layout::features::Compat;
use crate::layout::geometry::synthesise_inode_bitmap;
use crate::layout::group::{INODE_UNINIT, INODE_ZEROED};
use crate::layout::inode::Inode;
use crate::{Error, Result};

impl Volume {
    /// The block that holds an inode, and the byte within it.
    fn inode_place(&mut self, ino: u32) -> Result<(u64, usize)> {
        let (number, index) = self.geometry.inode_place(ino)?;
        let table = self.group(number)?.descriptor.inode_table();
        let byte = u64::from(index) * u64::from(self.geometry.inode_size);
        let size = u64::from(self.geometry.block_size);
        Ok((table + byte / size, (byte % size) as usize))
    }

    /// Reads an inode.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn read_inode(&mut self, ino: u32) -> Result<Inode> {
        let (block, at) = self.inode_place(ino)?;
        let checksums = self.checksums;
        let end = at + usize::from(self.geometry.inode_size);
        let bytes = self.blocks.read(block)?.get(at..end).unwrap_or_default();
        Inode::parse(ino, bytes, &checksums)
    }

    /// Reads an inode that a name leads to, and which must therefore be in use.
    ///
    /// # Errors
    /// As [`Volume::read_inode`].
    pub(crate) fn named_inode(&mut self, ino: u32) -> Result<Inode> {
        let inode = self.read_inode(ino)?;
        if inode.i_links_count() == 0 || inode.kind().is_none() {
            return Err(Error::Corrupt { what: format!("inode {ino} has a name and is free") });
        }
        Ok(inode)
    }

    /// Writes an inode with its checksum.
    ///
    /// # Errors
    /// [`Error::Io`] when its block cannot be read.
    pub(crate) fn write_inode(&mut self, ino: u32, inode: &Inode) -> Result<()> {
        let (block, at) = self.inode_place(ino)?;
        let place = self.blocks.edit(block)?.get_mut(at..).unwrap_or_default();
        inode.encode_into(ino, &self.checksums, place);
        self.note_written(ino);
        Ok(())
    }

    /// The group's inode bitmap, for a change.
    fn inode_map(&mut self, number: u32) -> Result<&mut InodeMap> {
        let geometry = self.geometry;
        let checksums = self.checksums;
        let tracked = self.has_group_checksums();
        if self.group(number)?.inodes.is_none() {
            let descriptor = self.group(number)?.descriptor;
            let now = if descriptor.has_flag(INODE_UNINIT) && tracked {
                synthesise_inode_bitmap(&geometry).into()
            } else {
                let read = self.blocks.share(descriptor.inode_bitmap())?;
                bitmap::check_inode_bitmap(
                    &read,
                    geometry.inodes_per_group,
                    &descriptor,
                    &checksums,
                )?;
                read
            };
            let free = bitmap::count_clear(&now, geometry.inodes_per_group);
            if free != descriptor.free_inodes_count() {
                return Err(Error::Corrupt {
                    what: format!(
                        "group {number} has {free} free inodes and its descriptor says {}",
                        descriptor.free_inodes_count()
                    ),
                });
            }
            let map = InodeMap { now, changed: false, full_below: 0 };
            self.group(number)?.inodes = Some(Box::new(map));
        }
        self.blocks.note_change();
        let group = self.group(number)?;
        group.changed = true;
        let map = group.inodes.as_mut().ok_or_else(|| Error::Corrupt {
            what: format!("group {number} has no inode bitmap"),
        })?;
        map.changed = true;
        Ok(map)
    }

    /// The first group from `near` on with a free inode that is not held back; without such a
    /// one, the first with any.
    fn group_with_inode(&mut self, near: u32) -> Result<Option<u32>> {
        let (groups, per_group) = (self.geometry.groups, self.geometry.inodes_per_group);
        let mut any = None;
        for number in (near..groups).chain(0..near) {
            let free = self.group(number)?.descriptor.free_inodes_count();
            let first = number * per_group + 1;
            let held = self.held_inodes.range(first..first + per_group).count();
            if free as usize > held {
                return Ok(Some(number));
            }
            if free > 0 {
                any = any.or(Some(number));
            }
        }
        Ok(any)
    }

    /// Gives out an inode in the parent's group, or the next that has one. Its
    /// record is zero but for a new generation's; write it before anything else.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when none is left.
    pub(crate) fn allocate_inode(&mut self, parent: u32, directory: bool) -> Result<(u32, Inode)> {
        let geometry = self.geometry;
        let (near, _) = geometry.inode_place(parent)?;
        let number = self
            .group_with_inode(near)?
            .ok_or_else(|| Error::NoSpace { what: "an inode".to_owned() })?;
        // Reserved inodes are never given out, whatever a bitmap says of them.
        let lowest = if number == 0 { geometry.first_ino.saturating_sub(1) } else { 0 };
        let before = number * geometry.inodes_per_group + 1;
        let held = self.held_inodes.range(before..before + geometry.inodes_per_group);
        let mut held = held.map(|ino| ino - before).collect::<Vec<u32>>().into_iter().peekable();
        let map = self.inode_map(number)?;
        let free = |from| bitmap::first_clear(&map.now, from..geometry.inodes_per_group);
        let first = free(map.full_below.max(lowest));
        let mut chosen = first;
        while let Some(index) = chosen {
            while held.next_if(|held| *held < index).is_some() {}
            if held.peek() != Some(&index) {
                break;
            }
            chosen = free(index + 1);
        }
        // What is held back is better than nothing.
        let index = chosen.or(first).ok_or_else(|| Error::Corrupt {
            what: format!("group {number}: a free inode is counted and none is there"),
        })?;
        bitmap::set(Arc::make_mut(&mut map.now), index);
        map.full_below = first.filter(|first| *first < index).unwrap_or(index + 1);
        self.count_inode(number, index, directory)?;
        let ino = number * geometry.inodes_per_group + index + 1;
        let mut inode = Inode::blank(geometry.inode_size);
        inode.set_i_generation(self.next_generation());
        Ok((ino, inode))
    }

    /// Counts a given-out inode in its group's descriptor, and brings the part of
    /// the table up to it into use.
    fn count_inode(&mut self, number: u32, index: u32, directory: bool) -> Result<()> {
        let per_group = self.geometry.inodes_per_group;
        let tracked = self.has_group_checksums();
        // The block bitmap counts as initialised when the inodes do.
        self.block_map(number)?;
        let descriptor = &mut self.group(number)?.descriptor;
        descriptor.set_free_inodes_count(descriptor.free_inodes_count().saturating_sub(1));
        if directory {
            descriptor.set_used_dirs_count(descriptor.used_dirs_count() + 1);
        }
        if !tracked {
            return Ok(());
        }
        let uninit = descriptor.has_flag(INODE_UNINIT);
        let unused = if uninit { per_group } else { descriptor.itable_unused().min(per_group) };
        let zeroed = descriptor.has_flag(INODE_ZEROED);
        let flags = descriptor.bg_flags();
        descriptor.set_bg_flags(flags & !INODE_UNINIT);
        let used = per_group - unused;
        if index >= used {
            descriptor.set_itable_unused(per_group - index - 1);
            self.zero_records(number, used, index, zeroed)?;
        }
        Ok(())
    }

    /// Makes records that were never used zero: from `used` to `index`, and on to
    /// the end of that block. Where they are so already, a block of which none was ever used
    /// need not be read.
    fn zero_records(&mut self, number: u32, used: u32, index: u32, zeroed: bool) -> Result<()> {
        let size = usize::from(self.geometry.inode_size);
        let per_block = self.geometry.block_size / u32::from(self.geometry.inode_size).max(1);
        let table = self.group(number)?.descriptor.inode_table();
        let last = index / per_block;
        for block in if zeroed { last } else { used / per_block }..=last {
            let first = block * per_block;
            let place = table + u64::from(block);
            if first >= used {
                self.blocks.fresh(place)?;
            } else if !zeroed {
                let from = (used - first) as usize * size;
                self.blocks.edit(place)?.get_mut(from..).unwrap_or_default().fill(0);
            }
        }
        Ok(())
    }

    /// Takes an inode back whose last name is gone; what it had is freed already.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is free, or one that is reserved.
    pub(crate) fn free_inode(&mut self, ino: u32, inode: &Inode, directory: bool) -> Result<()> {
        let (number, index) = self.geometry.inode_place(ino)?;
        let map = self.inode_map(number)?;
        if !bitmap::is_set(&map.now, index) {
            return Err(Error::Corrupt { what: format!("inode {ino} is freed twice") });
        }
        bitmap::clear(Arc::make_mut(&mut map.now), index);
        map.full_below = map.full_below.min(index);
        // Its old name would lead to whatever came to have it, should a power cut leave both.
        if !self.sb.features().compat.has(Compat::HAS_JOURNAL) {
            self.held_inodes.insert(ino);
        }
        let seconds = self.now.encode().0;
        let descriptor = &mut self.group(number)?.descriptor;
        descriptor.set_free_inodes_count(descriptor.free_inodes_count() + 1);
        if directory {
            descriptor.set_used_dirs_count(descriptor.used_dirs_count().saturating_sub(1));
        }
        // What e2fsck accepts as deleted: no links, a time of deletion, no blocks.
        let mut gone = Inode::blank(self.geometry.inode_size);
        gone.set_i_mode(inode.i_mode());
        gone.set_i_generation(inode.i_generation());
        gone.set_i_dtime(seconds);
        self.write_inode(ino, &gone)
    }
}
