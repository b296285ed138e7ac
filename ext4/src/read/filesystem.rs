//! An open filesystem: its superblock, descriptors, and inodes by number.

use std::sync::Arc;

use crate::layout::checksum::Checksums;
use crate::layout::features::{Incompat, RoCompat};
use crate::layout::geometry::Geometry;
use crate::layout::group::GroupDescriptor;
use crate::layout::inode::{FLAG_ENCRYPT, Inode};
use crate::layout::superblock::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock};
use crate::{Disk, Error, Result, journal};

/// Bytes of descriptors that are held at once: 128 TiB with blocks of 4 KiB.
const MOST_DESCRIPTOR_BYTES: u64 = 64 << 20;
/// Bytes of descriptors that are read at once.
const MOST_AT_ONCE: usize = 256 << 10;

/// A filesystem that is not mounted, for reading.
///
/// Nothing is cached but the superblock and the descriptors: what another
/// hand writes to the same disk is seen at the next call.
#[derive(Clone)]
pub struct Filesystem {
    disk: Arc<dyn Disk>,
    superblock: Superblock,
    geometry: Geometry,
    checksums: Checksums,
    /// Held as it was collected: of thousands, a copy costs as much as writing them.
    descriptors: Arc<Vec<GroupDescriptor>>,
}

impl std::fmt::Debug for Filesystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filesystem").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl Filesystem {
    /// Opens the filesystem on `disk`. A journal that was not replayed is
    /// replayed in memory, over the disk; the disk itself is never written.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], or [`Error::Incompatible`] with the
    /// name of a feature that cannot be read.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self> {
        let superblock = read_superblock(&*disk)?;
        if !superblock.features().incompat.has(Incompat::RECOVER) {
            return Self::open_as_is(disk);
        }
        Self::open_as_is(journal::replayed(disk)?)
    }

    /// Opens the filesystem as it lies on `disk`, its journal unheeded: what
    /// replay itself, and checks after a replay, begin with.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as_is(disk: Arc<dyn Disk>) -> Result<Self> {
        let superblock = read_superblock(&*disk)?;
        let geometry = Geometry::new(&superblock);
        let checksums = superblock.checksums();
        let descriptors = read_descriptors(&*disk, &geometry, &checksums, |_| None)?;
        Ok(Self { disk, superblock, geometry, checksums, descriptors })
    }

    /// The filesystem that was made on `disk` just now.
    pub(crate) fn made(
        disk: Arc<dyn Disk>,
        superblock: Superblock,
        descriptors: Vec<GroupDescriptor>,
    ) -> Self {
        let (geometry, checksums) = (Geometry::new(&superblock), superblock.checksums());
        Self { disk, superblock, geometry, checksums, descriptors: Arc::new(descriptors) }
    }

    /// Opens `disk`, on which only those blocks are not what they are here that `changed`
    /// says are not: descriptors in all others are not read again.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn reopen(
        &self,
        disk: Arc<dyn Disk>,
        changed: impl Fn(u64) -> bool,
    ) -> Result<Self> {
        let superblock = read_superblock(&*disk)?;
        let geometry = Geometry::new(&superblock);
        let checksums = superblock.checksums();
        let alike = checksums == self.checksums && geometry.desc_size == self.geometry.desc_size;
        let same = |n: u32| alike && !changed(geometry.gdt_block(n));
        if geometry == self.geometry && (0..geometry.gdt_blocks()).all(same) {
            let descriptors = Arc::clone(&self.descriptors);
            return Ok(Self { disk, superblock, geometry, checksums, descriptors });
        }
        let per_block = geometry.descs_per_block();
        let known = |n: u32| {
            let there = n < self.geometry.gdt_blocks()
                && self.geometry.gdt_block(n) == geometry.gdt_block(n)
                && same(n);
            let end = n.saturating_add(1).saturating_mul(per_block).min(geometry.groups);
            let groups = (n.saturating_mul(per_block)) as usize..end as usize;
            self.descriptors.get(groups).filter(|_| there)
        };
        let descriptors = read_descriptors(&*disk, &geometry, &checksums, known)?;
        Ok(Self { disk, superblock, geometry, checksums, descriptors })
    }

    /// Opens no more than is needed to find the journal. Other descriptors may
    /// be half-written until the journal is replayed.
    pub(crate) fn open_for_journal(disk: Arc<dyn Disk>, superblock: &Superblock) -> Result<Self> {
        let geometry = Geometry::new(superblock);
        let checksums = superblock.checksums();
        let ino = superblock.s_journal_inum().max(1);
        let (group, _) = geometry.inode_place(ino)?;
        let mut descriptors = vec![GroupDescriptor::blank(geometry.desc_size); group as usize];
        let per_block = geometry.descs_per_block();
        let mut bytes = vec![0; geometry.desc_size.max(32).into()];
        let within = u64::from(group % per_block) * bytes.len() as u64;
        let offset = geometry.offset(geometry.gdt_block(group / per_block)) + within;
        disk.read_at(offset, &mut bytes)?;
        descriptors.push(GroupDescriptor::parse(&bytes, group, &checksums)?);
        let descriptors = Arc::new(descriptors);
        Ok(Self { disk, superblock: superblock.clone(), geometry, checksums, descriptors })
    }

    /// The disk, or the overlay into which its journal was replayed.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The superblock as it was on opening.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Where everything lies.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Which checksums metadata carries.
    #[must_use]
    pub fn checksums(&self) -> &Checksums {
        &self.checksums
    }

    /// All group descriptors, as they were on opening.
    #[must_use]
    pub fn descriptors(&self) -> &[GroupDescriptor] {
        &self.descriptors
    }

    /// The checksum seed of an inode's blocks; none without checksums.
    #[must_use]
    pub fn inode_seed(&self, ino: u32, inode: &Inode) -> Option<u32> {
        self.checksums.metadata.then(|| self.checksums.inode_seed(ino, inode.i_generation()))
    }

    /// True when directory entries carry types.
    #[must_use]
    pub(crate) fn has_types(&self) -> bool {
        self.superblock.features().incompat.has(Incompat::FILETYPE)
    }

    /// Byte offset of an inode on the disk.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is no such inode, or its table lies
    /// outside the filesystem.
    pub fn inode_position(&self, ino: u32) -> Result<u64> {
        let (group, index) = self.geometry.inode_place(ino)?;
        let table = self.descriptors.get(group as usize).map_or(0, GroupDescriptor::inode_table);
        let last = table.saturating_add(u64::from(self.geometry.itable_blocks()) - 1);
        if !self.geometry.is_data_block(table) || !self.geometry.is_data_block(last) {
            return Err(Error::Corrupt {
                what: format!("group {group}: its inode table lies outside the filesystem"),
            });
        }
        Ok(self.geometry.inode_offset(table, index))
    }

    /// Reads an inode and checks its checksum. It may be one that is not in use.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`].
    pub fn inode(&self, ino: u32) -> Result<Inode> {
        let mut bytes = vec![0; self.geometry.inode_size.into()];
        self.disk.read_at(self.inode_position(ino)?, &mut bytes)?;
        Inode::parse(ino, bytes, &self.checksums)
    }

    /// Reads an inode whatever its checksum says: for the check, which has told of it.
    pub(crate) fn inode_unsummed(&self, ino: u32) -> Result<Inode> {
        let mut bytes = vec![0; self.geometry.inode_size.into()];
        self.disk.read_at(self.inode_position(ino)?, &mut bytes)?;
        Inode::parse(ino, bytes, &Checksums { metadata: false, ..self.checksums })
    }

    /// Reads an inode that a name leads to: it must be in use and readable.
    ///
    /// # Errors
    /// As [`Self::inode`], and [`Error::Incompatible`] when it is encrypted.
    pub fn inode_in_use(&self, ino: u32) -> Result<Inode> {
        let inode = self.inode(ino)?;
        if inode.i_links_count() == 0 || inode.kind().is_none() {
            return Err(Error::Corrupt {
                what: format!("inode {ino}: a name leads to it, but it is not in use"),
            });
        }
        if inode.has_flag(FLAG_ENCRYPT) {
            return Err(Error::Incompatible { feature: format!("encrypt (inode {ino})") });
        }
        Ok(inode)
    }

    /// Reads one block.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] for a block that does not exist.
    pub fn block(&self, number: u64) -> Result<Arc<[u8]>> {
        if !self.geometry.is_data_block(number) {
            return Err(Error::Corrupt {
                what: format!("block {number} is pointed to, but lies outside the filesystem"),
            });
        }
        self.disk.read_shared(self.geometry.offset(number), self.geometry.block_size as usize)
    }

    /// True when files beyond 2 GiB, and so sizes of 64 bits, are allowed.
    #[must_use]
    pub fn has_large_files(&self) -> bool {
        self.superblock.features().ro_compat.has(RoCompat::LARGE_FILE)
    }
}

/// Reads the superblock and checks that the disk is as long as it says.
///
/// # Errors
/// [`Error::Io`], [`Error::Corrupt`] or [`Error::Incompatible`].
pub(crate) fn read_superblock(disk: &dyn Disk) -> Result<Superblock> {
    let corrupt = |what: String| Err(Error::Corrupt { what });
    if disk.len() < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE as u64 {
        let len = disk.len();
        return corrupt(format!("{len} bytes are too few for an ext4 filesystem"));
    }
    let mut bytes = [0; SUPERBLOCK_SIZE];
    disk.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
    let superblock = Superblock::parse(&bytes)?;
    let needed = superblock.blocks_count().saturating_mul(superblock.block_size().into());
    if needed > disk.len() {
        let len = disk.len();
        return corrupt(format!("it takes {needed} bytes, but its device has only {len}"));
    }
    Ok(superblock)
}

/// Reads all descriptors but those of the blocks that are `known`.
fn read_descriptors<'a>(
    disk: &dyn Disk,
    geometry: &Geometry,
    checksums: &Checksums,
    known: impl Fn(u32) -> Option<&'a [GroupDescriptor]>,
) -> Result<Arc<Vec<GroupDescriptor>>> {
    let blocks = geometry.gdt_blocks();
    let bytes = u64::from(blocks) * u64::from(geometry.block_size);
    if bytes > MOST_DESCRIPTOR_BYTES {
        return Err(Error::TooLarge {
            what: "the table of group descriptors".to_owned(),
            limit: MOST_DESCRIPTOR_BYTES,
        });
    }
    let size = geometry.block_size as usize;
    let mut descriptors = Vec::with_capacity(geometry.groups as usize);
    let mut buffer = Vec::new();
    let mut n = 0;
    while n < blocks {
        if let Some(known) = known(n) {
            descriptors.extend_from_slice(known);
            n += 1;
            continue;
        }
        let first = geometry.gdt_block(n);
        // Blocks that follow each other are read at once.
        let follows = |more: &u32| {
            n + more < blocks
                && geometry.gdt_block(n + more) == first + u64::from(*more)
                && known(n + more).is_none()
        };
        let most = (MOST_AT_ONCE / size).max(1) as u32;
        let count = 1 + (1..most).take_while(follows).count() as u32;
        if let Some(n) = (n..n + count).find(|n| !geometry.is_data_block(geometry.gdt_block(*n))) {
            return Err(Error::Corrupt {
                what: format!("descriptor block {n} lies outside the filesystem"),
            });
        }
        buffer.resize(count as usize * size, 0);
        disk.read_at(geometry.offset(first), &mut buffer)?;
        for block in buffer.chunks_exact(size) {
            for bytes in block.chunks_exact(geometry.desc_size.max(32).into()) {
                let group = descriptors.len() as u32;
                if group < geometry.groups {
                    descriptors.push(GroupDescriptor::parse(bytes, group, checksums)?);
                }
            }
        }
        n += count;
    }
    Ok(Arc::new(descriptors))
}
