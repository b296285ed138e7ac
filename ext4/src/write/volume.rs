//! A filesystem that is being changed: superblock, groups and caches in memory.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::blocks::Blocks;
use super::directory::Directory;
use super::incoming::Incoming;
use super::lookup::Way;
use crate::Timestamp;
use crate::layout::checksum::{Checksums, GroupChecksum};
use crate::layout::features::{Compat, Incompat, RoCompat};
use crate::layout::geometry::{Geometry, MetadataMap};
use crate::layout::group::GroupDescriptor;
use crate::layout::superblock::{
    FLAG_UNSIGNED_HASH, STATE_ERROR, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock,
};
use crate::layout::{bitmap, hash};
use crate::number_map::NumberMap;
use crate::{Disk, Error, Filesystem, Overlay, Result};

/// The block bitmap of a group.
pub(crate) struct BlockMap {
    /// As it was when the batch began.
    pub(crate) begin: Arc<[u8]>,
    /// What is not given out, free or not: what was in use when the batch began or at one
    /// of its boundaries is needed until the batch is committed.
    pub(crate) held: Arc<[u8]>,
    pub(crate) now: Arc<[u8]>,
    pub(crate) changed: bool,
}

/// The inode bitmap of a group.
pub(crate) struct InodeMap {
    pub(crate) now: Arc<[u8]>,
    pub(crate) changed: bool,
    /// Below this index every inode is in use.
    pub(crate) full_below: u32,
}

/// One group, its bitmaps once they were needed: of thousands of groups few are.
pub(crate) struct Group {
    pub(crate) descriptor: GroupDescriptor,
    pub(crate) changed: bool,
    pub(crate) blocks: Option<Box<BlockMap>>,
    pub(crate) inodes: Option<Box<InodeMap>>,
}

/// The filesystem in memory.
pub(crate) struct Volume {
    pub(crate) blocks: Blocks,
    pub(crate) below: Arc<dyn Disk>,
    /// As it was found, and which blocks were metadata.
    pub(crate) begin: (Filesystem, Arc<MetadataMap>),
    pub(crate) sb: Superblock,
    pub(crate) geometry: Geometry,
    pub(crate) checksums: Checksums,
    pub(crate) metadata: Arc<MetadataMap>,
    pub(crate) groups: Vec<Group>,
    pub(crate) directories: NumberMap<u32, Directory>,
    /// Paths that were followed to directories, the last one last.
    pub(super) ways: Vec<Way>,
    /// Where the next data of a flex group goes.
    pub(crate) goals: NumberMap<u32, u64>,
    /// Content goes to the disk below at once, into blocks that are free there.
    pub(crate) direct: bool,
    /// Content on its way.
    pub(super) incoming: Incoming,
    pub(crate) now: Timestamp,
    /// `s_overhead_clusters` as it is to be after the batch.
    pub(crate) overhead: u32,
    generations: u32,
    /// Nothing was there before, and nothing that is written is compared with it.
    pub(super) fresh: bool,
    /// Inodes that were written, also with what they were before, and directories that
    /// were changed.
    pub(crate) written: BTreeSet<u32>,
    /// Inodes that were taken back and are not given out again while there are others: where
    /// there is no journal.
    pub(super) held_inodes: BTreeSet<u32>,
}

impl Volume {
    /// Reads superblock and descriptors.
    ///
    /// # Errors
    /// [`Error::Incompatible`] when the filesystem has something that this
    /// engine would not keep right, [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn open(below: Arc<dyn Disk>, direct: bool) -> Result<Self> {
        let mut bytes = vec![0; SUPERBLOCK_SIZE];
        below.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
        let sb = Superblock::parse(&bytes)?;
        check_writable(&sb)?;
        let geometry = Geometry::new(&sb);
        if geometry.blocks_count.saturating_mul(geometry.block_size.into()) > below.len() {
            return Err(Error::Corrupt {
                what: format!(
                    "the filesystem has {} blocks of {} bytes, the device {} bytes",
                    geometry.blocks_count,
                    geometry.block_size,
                    below.len()
                ),
            });
        }
        Self::over(Filesystem::open_as_is(below)?, direct)
    }

    /// A filesystem as it was found, or made.
    ///
    /// # Errors
    /// As [`Volume::open`].
    pub(crate) fn over(begin: Filesystem, direct: bool) -> Result<Self> {
        let below = Arc::clone(begin.disk());
        // What a disk shows may be another thing at each look.
        let (sb, geometry) = (begin.superblock().clone(), *begin.geometry());
        check_writable(&sb)?;
        let checksums = *begin.checksums();
        let overlay = Arc::new(Overlay::new(Arc::clone(&below), geometry.block_size));
        let blocks = Blocks::new(overlay, geometry.block_size, geometry.blocks_count);
        let mut groups = Vec::with_capacity(begin.descriptors().len());
        for (number, descriptor) in begin.descriptors().iter().copied().enumerate() {
            // Counts are added up and added to: impossible ones would go over.
            if descriptor.free_blocks_count() > geometry.clusters_per_group
                || descriptor.free_inodes_count() > geometry.inodes_per_group
                || descriptor.used_dirs_count() > geometry.inodes_per_group
            {
                let what = format!("group {number}: its counts are impossible");
                return Err(Error::Corrupt { what });
            }
            groups.push(Group { descriptor, changed: false, blocks: None, inodes: None });
        }
        let metadata = Arc::new(MetadataMap::new(&geometry, begin.descriptors())?);
        let random = RandomState::new().hash_one(0) as u32;
        Ok(Self {
            overhead: sb.s_overhead_blocks(),
            blocks,
            below,
            begin: (begin, Arc::clone(&metadata)),
            sb,
            geometry,
            checksums,
            metadata,
            groups,
            directories: NumberMap::default(),
            ways: Vec::new(),
            goals: NumberMap::default(),
            direct,
            incoming: Incoming::default(),
            now: Timestamp::now(),
            generations: random,
            fresh: false,
            written: BTreeSet::new(),
            held_inodes: BTreeSet::new(),
        })
    }

    /// A generation for a new inode: unlike the last ones.
    pub(crate) fn next_generation(&mut self) -> u32 {
        self.generations = self.generations.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.generations
    }

    /// True when descriptors say which parts of a group are not initialised.
    pub(crate) fn has_group_checksums(&self) -> bool {
        self.checksums.group != GroupChecksum::None
    }

    /// The group, or a refusal for a number beyond the last.
    pub(crate) fn group(&mut self, number: u32) -> Result<&mut Group> {
        self.groups
            .get_mut(number as usize)
            .ok_or_else(|| Error::Corrupt { what: format!("group {number} does not exist") })
    }

    /// The hash of names in directories, with the function a root names.
    pub(crate) fn hasher(&self, version: u8) -> Result<hash::Hasher> {
        let (function, unsigned) = hash::HashVersion::from_disk(version).ok_or_else(|| {
            Error::Corrupt { what: format!("directory index: hash version {version}") }
        })?;
        let unsigned = unsigned || self.sb.s_flags() & FLAG_UNSIGNED_HASH != 0;
        Ok(hash::Hasher { version: function, unsigned, seed: self.sb.hash_seed() })
    }

    pub(crate) fn has_compat(&self, feature: Compat) -> bool {
        self.sb.features().compat.has(feature)
    }

    pub(crate) fn has_incompat(&self, feature: Incompat) -> bool {
        self.sb.features().incompat.has(feature)
    }

    pub(crate) fn has_ro_compat(&self, feature: RoCompat) -> bool {
        self.sb.features().ro_compat.has(feature)
    }

    /// Sets bits that say what the filesystem now holds.
    pub(crate) fn add_features(&mut self, compat: Compat, ro_compat: RoCompat) {
        let mut features = self.sb.features();
        features.compat = features.compat.with(compat);
        features.ro_compat = features.ro_compat.with(ro_compat);
        self.sb.set_features(features);
    }

    /// An inode was written, or the directory that it is changed.
    pub(super) fn note_written(&mut self, ino: u32) {
        if !self.fresh {
            self.written.insert(ino);
        }
    }

    /// Puts bitmaps, descriptors and superblock, their counts and checksums made
    /// anew, into the overlay with every other change.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.sync_groups()?;
        self.blocks.sync()
    }

    /// As [`Volume::sync`], into the blocks in memory alone.
    pub(super) fn sync_groups(&mut self) -> Result<()> {
        self.incoming.flush(&*self.below)?;
        let mut free_blocks = 0;
        let mut free_inodes = 0;
        for number in 0..self.geometry.groups {
            self.sync_group(number)?;
            let descriptor = &self.group(number)?.descriptor;
            free_blocks += u64::from(descriptor.free_blocks_count());
            free_inodes += descriptor.free_inodes_count();
        }
        self.sb.set_free_blocks_count(free_blocks);
        self.sb.set_s_free_inodes_count(free_inodes);
        let bytes = self.sb.encode();
        let block = SUPERBLOCK_OFFSET / u64::from(self.geometry.block_size);
        let within = (SUPERBLOCK_OFFSET % u64::from(self.geometry.block_size)) as usize;
        crate::le::put_bytes(self.blocks.edit(block)?, within, &bytes);
        Ok(())
    }

    fn sync_group(&mut self, number: u32) -> Result<()> {
        let geometry = self.geometry;
        let checksums = self.checksums;
        let group = self.group(number)?;
        if !group.changed {
            return Ok(());
        }
        group.changed = false;
        let descriptor = &mut group.descriptor;
        let mut bitmaps = Vec::new();
        if let Some(map) = group.blocks.as_mut().filter(|map| map.changed) {
            map.changed = false;
            bitmap::sum_block_bitmap(&map.now, geometry.clusters_per_group, descriptor, &checksums);
            bitmaps.push((descriptor.block_bitmap(), Arc::clone(&map.now)));
        }
        if let Some(map) = group.inodes.as_mut().filter(|map| map.changed) {
            map.changed = false;
            bitmap::sum_inode_bitmap(&map.now, geometry.inodes_per_group, descriptor, &checksums);
            bitmaps.push((descriptor.inode_bitmap(), Arc::clone(&map.now)));
        }
        let encoded = descriptor.encode(number, &checksums);
        for (block, bytes) in bitmaps {
            self.blocks.insert(block, bytes)?;
        }
        let per_block = geometry.descs_per_block().max(1);
        let at = (number % per_block) as usize * usize::from(geometry.desc_size);
        let block = self.blocks.edit(geometry.gdt_block(number / per_block))?;
        crate::le::put_bytes(block, at, &encoded);
        Ok(())
    }
}

/// What stands in the way of changing a filesystem.
fn check_writable(sb: &Superblock) -> Result<()> {
    let features = sb.features();
    features.check_writable()?;
    let refuse = |feature: &str| Err(Error::Incompatible { feature: feature.to_owned() });
    if !features.incompat.has(Incompat::EXTENTS) && sb.blocks_count() > u64::from(u32::MAX) {
        return refuse("more than 4,294,967,295 blocks without extents");
    }
    if features.incompat.has(Incompat::RECOVER) {
        return refuse("a journal that was not replayed");
    }
    if sb.s_state() & STATE_ERROR != 0 {
        return refuse("the mark of errors that e2fsck must repair first");
    }
    if sb.s_rev_level() == 0 {
        return refuse("the original revision of ext2");
    }
    Ok(())
}
