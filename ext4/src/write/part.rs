//! A state that a batch leads through: its beginning, its boundaries, its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::inode_tables::InodeTables;
use super::volume::Volume;
use crate::layout::bitmap;
use crate::layout::geometry::{Geometry, MetadataMap};
use crate::layout::superblock::Superblock;
use crate::number_map::NumberMap;
use crate::{Disk, Filesystem, Overlay, Result};

/// A consistent state of the filesystem, in memory over the device.
pub(crate) struct Part {
    pub(crate) superblock: Superblock,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) geometry: Geometry,
    /// Block bitmaps that were needed so far.
    pub(crate) maps: NumberMap<u32, Arc<[u8]>>,
    /// Inodes and directories that were written since the batch began.
    pub(crate) written: BTreeSet<u32>,
}

/// What a batch began with, as it lies on the device.
pub(super) struct Beginning {
    pub(super) filesystem: Filesystem,
    pub(super) metadata: Arc<MetadataMap>,
    pub(super) tables: Arc<InodeTables>,
    /// All block bitmaps that are needed in the whole batch.
    maps: NumberMap<u32, Arc<[u8]>>,
}

impl Beginning {
    /// That of a batch which has come to its end.
    pub(super) fn new(volume: &Volume) -> Self {
        let groups = (0..).zip(&volume.groups);
        let maps = groups
            .filter_map(|(n, group)| Some((n, Arc::clone(&group.blocks.as_ref()?.begin))))
            .collect();
        let (filesystem, metadata) = volume.begin.clone();
        let tables = Arc::new(InodeTables::new(&filesystem));
        Self { filesystem, metadata, tables, maps }
    }

    /// Whether a block holds nothing but inodes that were not in use then nor at any time before.
    fn never_used(&self, block: u64) -> bool {
        self.tables.inodes_in(block).is_some_and(|inodes| inodes.never_used(&self.filesystem))
    }
}

/// Changed blocks by what a crash may do to them.
pub(crate) struct Changes {
    /// Into blocks that were free: nobody sees them before the metadata says so.
    pub(crate) direct: Vec<(u64, Arc<[u8]>)>,
    /// In place of what is in use.
    pub(crate) logged: Vec<(u64, Arc<[u8]>)>,
}

impl Changes {
    pub(crate) fn blocks(&self) -> u64 {
        (self.direct.len() + self.logged.len()) as u64
    }
}

impl Part {
    /// The state in the beginning, as it lies on the device.
    pub(super) fn begin(first: &Beginning) -> Self {
        let filesystem = &first.filesystem;
        let geometry = *filesystem.geometry();
        Self {
            geometry,
            superblock: filesystem.superblock().clone(),
            overlay: Arc::new(Overlay::new(Arc::clone(filesystem.disk()), geometry.block_size)),
            maps: NumberMap::default(),
            written: BTreeSet::new(),
        }
    }

    /// The state of a block by its bitmap; `None` where no bitmap was needed in the
    /// whole batch: the block is what it was.
    fn is_free(&self, block: u64, first: &Beginning) -> Option<bool> {
        let (group, index) = self.geometry.group_of_block(block)?;
        let map = self.maps.get(&group).or_else(|| first.maps.get(&group))?;
        Some(!bitmap::is_set(map, index))
    }

    /// Sorts what differs from an earlier state; blocks that belong to nothing any more
    /// are left out.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub(super) fn changes_since(&self, from: &Self, first: &Beginning) -> Result<Changes> {
        let mut changes = Changes { direct: Vec::new(), logged: Vec::new() };
        for (block, bytes) in self.overlay.changed() {
            if self.is_free(block, first) == Some(true) {
                continue;
            }
            // Behind the end of a filesystem that grows nothing was in use.
            let grown = block >= from.geometry.blocks_count;
            if grown || from.is_free(block, first) == Some(true) {
                changes.direct.push((block, bytes));
                continue;
            }
            let offset = self.geometry.offset(block);
            let new = !from.overlay.is_changed(block) && first.never_used(block);
            if new || from.overlay.read_shared(offset, bytes.len())? != bytes {
                changes.logged.push((block, bytes));
            }
        }
        Ok(changes)
    }
}

impl Volume {
    /// The state as it is now.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub(super) fn part(&mut self) -> Result<Part> {
        self.note_time();
        self.sync()?;
        let maps = (0..).zip(&self.groups);
        let maps = maps
            .filter_map(|(n, group)| Some((n, Arc::clone(&group.blocks.as_ref()?.now))))
            .collect();
        Ok(Part {
            superblock: self.sb.clone(),
            overlay: Arc::new(self.blocks.overlay().snapshot()),
            geometry: self.geometry,
            maps,
            written: self.written.clone(),
        })
    }

    /// The superblock says when it was written.
    pub(super) fn note_time(&mut self) {
        let seconds = u64::try_from(self.now.seconds).unwrap_or(0);
        self.sb.set_s_wtime(seconds as u32);
        self.sb.set_s_wtime_hi((seconds >> 32) as u8);
    }

    /// What is in use now is needed from now on, whatever becomes of it later in the batch.
    pub(super) fn hold(&mut self) {
        for map in self.groups.iter_mut().filter_map(|group| group.blocks.as_mut()) {
            if map.held.iter().zip(&*map.now).any(|(held, now)| now & !held != 0) {
                map.held = map.held.iter().zip(&*map.now).map(|(held, now)| held | now).collect();
            }
        }
    }
}
