//! Who gets which blocks of a new filesystem. Every group is filled from its front.

use crate::layout::extent::{Extent, MAX_LEN};
use crate::layout::geometry::Geometry;
use crate::{Error, Result};

/// The blocks in use so far: in each group those before a mark.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    geometry: Geometry,
    /// Blocks in use at the front of each group.
    pub(crate) used: Vec<u32>,
}

/// Where the metadata of one group lies.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tables {
    pub(crate) block_bitmap: u64,
    pub(crate) inode_bitmap: u64,
    pub(crate) inode_table: u64,
}

impl Space {
    /// Only copies of superblock and descriptors are in use.
    pub(crate) fn new(geometry: Geometry) -> Self {
        let used = (0..geometry.groups).map(|group| geometry.base_blocks(group)).collect();
        Self { geometry, used }
    }

    /// Places bitmaps and inode tables, those of each 16 groups together.
    pub(crate) fn tables(&mut self) -> Result<Vec<Tables>> {
        self.tables_from(0)
    }

    /// As [`Space::tables`], for the groups from `group` on alone.
    pub(crate) fn tables_from(&mut self, group: u32) -> Result<Vec<Tables>> {
        let groups = self.geometry.groups;
        let mut tables = vec![Tables::default(); groups.saturating_sub(group) as usize];
        let flex = self.geometry.groups_per_flex.max(1);
        // The first of them may lie amid others that are together already.
        let amid = (group.next_multiple_of(flex) - group).min(groups.saturating_sub(group));
        let (head, rest) = tables.split_at_mut(amid as usize);
        let whole = rest.chunks_mut(flex as usize);
        let mut first = group;
        for cluster in std::iter::once(head).chain(whole) {
            for table in cluster.iter_mut() {
                table.block_bitmap = self.together(first, 1)?;
            }
            for table in cluster.iter_mut() {
                table.inode_bitmap = self.together(first, 1)?;
            }
            for table in cluster.iter_mut() {
                table.inode_table = self.together(first, self.geometry.itable_blocks())?;
            }
            first += cluster.len() as u32;
        }
        Ok(tables)
    }

    /// `len` blocks in one piece, in `group` or the next that has room.
    pub(crate) fn together(&mut self, group: u32, len: u32) -> Result<u64> {
        for group in group..self.geometry.groups {
            let room = self.room(group);
            if room >= len {
                return Ok(self.take(group, len));
            }
        }
        Err(Error::NoSpace { what: format!("{len} blocks of metadata in one piece") })
    }

    /// `len` blocks as the extents of a file, from group 0 on.
    pub(crate) fn extents(&mut self, len: u32) -> Result<Vec<Extent>> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut done = 0;
        for group in 0..self.geometry.groups {
            while done < len && self.room(group) > 0 {
                let now = self.room(group).min(len - done).min(MAX_LEN.into());
                let start = self.take(group, now);
                match extents.last_mut() {
                    Some(last)
                        if last.start + u64::from(last.len) == start
                            && u32::from(last.len) + now <= MAX_LEN.into() =>
                    {
                        last.len += now as u16;
                    }
                    _ => extents.push(Extent {
                        block: done,
                        len: now as u16,
                        start,
                        unwritten: false,
                    }),
                }
                done += now;
            }
        }
        if done < len {
            return Err(Error::NoSpace { what: format!("a journal of {len} blocks") });
        }
        Ok(extents)
    }

    fn room(&self, group: u32) -> u32 {
        let used = self.used.get(group as usize).copied().unwrap_or(u32::MAX);
        self.geometry.group_blocks(group).saturating_sub(used)
    }

    fn take(&mut self, group: u32, len: u32) -> u64 {
        let Some(used) = self.used.get_mut(group as usize) else { return 0 };
        let start = self.geometry.group_first_block(group) + u64::from(*used);
        *used += len;
        start
    }
}
