//! A new filesystem as a list of writes, and its execution.

use std::sync::Arc;

use super::files::{self, LOST_FOUND_INO, ORPHAN_FILE_INO};
use super::place::Space;
use super::writes::{Backup, Bytes, Writes};
use super::{FormatOptions, sizes, tables};
use crate::journal::superblock::JournalSuperblock;
use crate::layout::features::Compat;
use crate::layout::geometry::Geometry;
use crate::layout::group::GroupDescriptor;
use crate::layout::inode::{FileKind, Inode, JOURNAL_INO, RESIZE_INO, ROOT_INO};
use crate::layout::superblock::{SUPERBLOCK_OFFSET, Superblock};
use crate::{Disk, Filesystem, Result};

/// What a filesystem is made of: bytes and their places, none of which overlap.
#[derive(Debug, Clone)]
pub struct FormatPlan {
    /// Offset and bytes, ascending but for the superblock, which is last.
    writes: Vec<(u64, Bytes)>,
    /// The superblock, as the last write has it.
    pub superblock: Superblock,
}

/// Most bytes of a write at the front of a filesystem that may wait for what comes to change them.
const WAITS: usize = 32 << 10;

/// Plans a filesystem that fills a disk of `len` bytes.
///
/// The features are those mke2fs 1.47 turns on: extents, 64bit, flex_bg,
/// metadata_csum, dir_index, sparse_super, resize_inode, a journal and so on.
/// The root directory and `lost+found` belong to 0:0. Inode tables and the
/// journal's log are not written, nor are the bitmaps of untouched groups, so
/// that the cost grows with the group descriptors alone.
///
/// # Errors
/// [`crate::Error::NoSpace`] when the disk is too small,
/// [`crate::Error::TooLarge`] when it is too large, and
/// [`crate::Error::Source`] for options that make no filesystem.
pub fn plan(len: u64, options: &FormatOptions) -> Result<FormatPlan> {
    plan_with_descriptors(len, options, false).map(|(plan, _)| plan)
}

/// As [`plan`], with the descriptors that it writes; where the [`front`] waits nothing there is
/// joined.
fn plan_with_descriptors(
    len: u64,
    options: &FormatOptions,
    front_waits: bool,
) -> Result<(FormatPlan, Vec<GroupDescriptor>)> {
    let (mut sb, journal) = sizes::new_superblock(len, options)?;
    let geometry = Geometry::new(&sb);
    let checksums = sb.checksums();
    let mut writes = Writes::default();
    let mut space = Space::new(geometry);
    let tables = space.tables()?;
    let mut inodes: Vec<(u32, Inode)> = Vec::new();

    for (ino, mode, blocks, links) in [(ROOT_INO, 0o755, 1, 3), (LOST_FOUND_INO, 0o700, 0, 2)] {
        // `lost+found` has 16 KiB, so that e2fsck need not make room in an emergency.
        let blocks = if blocks == 0 { (16_384 / geometry.block_size).clamp(2, 12) } else { blocks };
        let start = space.together(0, blocks)?;
        let mut inode = files::new_inode(&geometry, FileKind::Directory, mode, options.now);
        inode.set_i_links_count(links);
        let seed = files::seed(&checksums, ino);
        let extent = extent_of(start, blocks);
        let no_tree = || Ok(0);
        files::map_extents(&mut inode, &[extent], no_tree, &geometry, seed, &mut writes)?;
        let mut entries: Vec<(u32, &[u8])> = vec![(ino, b"."), (ROOT_INO, b"..")];
        if ino == ROOT_INO {
            entries.push((LOST_FOUND_INO, b"lost+found"));
        }
        let bytes = files::directory_blocks(&geometry, blocks, &entries, seed)?;
        writes.push(geometry.offset(start), bytes);
        inodes.push((ino, inode));
    }
    if geometry.reserved_gdt_blocks > 0 {
        let pointers = space.together(0, 1)?;
        let inode = files::resize_inode(&geometry, pointers, options.now, &mut writes);
        inodes.push((RESIZE_INO, inode));
    }
    if journal > 0 {
        let extents = space.extents(journal)?;
        let mut inode = files::new_inode(&geometry, FileKind::Regular, 0o600, options.now);
        let seed = files::seed(&checksums, JOURNAL_INO);
        let tree = || space.together(0, 1);
        files::map_extents(&mut inode, &extents, tree, &geometry, seed, &mut writes)?;
        let sequence = sizes::journal_sequence(options);
        let block = JournalSuperblock::new(geometry.block_size, journal, options.uuid, sequence);
        let mut bytes = block.encode().to_vec();
        bytes.resize(geometry.block_size as usize, 0);
        if let Some(first) = extents.first() {
            writes.push(geometry.offset(first.start), bytes);
        }
        let mut features = sb.features();
        features.compat = features.compat.with(Compat::HAS_JOURNAL);
        sb.set_features(features);
        sb.set_s_journal_inum(JOURNAL_INO);
        sb.set_journal_backup(&inode.i_block(), inode.size());
        inodes.push((JOURNAL_INO, inode));
    }
    let mut last_inode = LOST_FOUND_INO;
    let orphan_blocks = sizes::orphan_file_blocks(geometry.blocks_count, options);
    if orphan_blocks > 0 {
        last_inode = ORPHAN_FILE_INO;
        let mut inode = files::new_inode(&geometry, FileKind::Regular, 0o600, options.now);
        let extent = extent_of(space.together(0, orphan_blocks)?, orphan_blocks);
        let seed = files::seed(&checksums, ORPHAN_FILE_INO);
        files::map_extents(&mut inode, &[extent], || Ok(0), &geometry, seed, &mut writes)?;
        let bytes = files::orphan_blocks(&geometry, &extent, seed);
        writes.push(geometry.offset(extent.start), bytes);
        sb.set_s_orphan_file_inum(ORPHAN_FILE_INO);
        inodes.push((ORPHAN_FILE_INO, inode));
    }
    let first_table = tables.first().map_or(0, |tables| tables.inode_table);
    let table = files::first_inodes(&geometry, &checksums, &inodes, last_inode);
    writes.push(geometry.offset(first_table), table);

    let state = (options.zeroed, last_inode);
    let descriptors = tables::describe(&geometry, &checksums, &space, &tables, state, &mut writes);
    sb.set_free_blocks_count(descriptors.iter().map(|d| u64::from(d.free_blocks_count())).sum());
    sb.set_s_free_inodes_count(geometry.inodes_count - last_inode);
    sb.set_s_overhead_blocks(overhead(&geometry, journal));
    let table = Arc::new(tables::descriptor_table(&geometry, &descriptors));
    let superblock = Arc::new(sb.clone());
    for group in geometry.backup_groups() {
        let first = geometry.offset(geometry.group_first_block(group));
        let (superblock, descriptors) = (Arc::clone(&superblock), Arc::clone(&table));
        let block_size = geometry.block_size;
        if group == 0 {
            // The superblock itself comes last.
            writes.push(first + u64::from(block_size), descriptors);
        } else {
            let group = group as u16;
            writes.push(first, Backup { superblock, group, block_size, descriptors });
        }
    }
    // What waits is taken apart again.
    let mut writes = writes.joined(if front_waits { front(&geometry) } else { 0 });
    // All from byte 0 to the descriptors: a boot sector of zeros, then the superblock.
    let mut head = vec![0; SUPERBLOCK_OFFSET as usize];
    head.extend(sb.encode());
    head.resize(head.len().max(geometry.block_size as usize), 0);
    writes.push((0, Bytes::from(head)));
    Ok((FormatPlan { writes, superblock: sb }, descriptors))
}

/// Where the front ends, in bytes from the beginning.
fn front(geometry: &Geometry) -> u64 {
    geometry.offset(u64::from(geometry.blocks_per_group))
}

fn extent_of(start: u64, blocks: u32) -> crate::layout::extent::Extent {
    crate::layout::extent::Extent { block: 0, len: blocks as u16, start, unwritten: false }
}

/// `s_overhead_blocks`: what can never hold data.
fn overhead(geometry: &Geometry, journal: u32) -> u32 {
    let groups = u64::from(geometry.groups);
    let base: u64 = (0..geometry.groups).map(|g| u64::from(geometry.base_blocks(g))).sum();
    let tables = groups * (2 + u64::from(geometry.itable_blocks()));
    let all = u64::from(geometry.first_data_block) + base + tables + u64::from(journal);
    u32::try_from(all).unwrap_or(0)
}

/// Makes a filesystem that fills `disk`. Nothing is flushed: the caller knows
/// when all that it writes must be safe.
///
/// # Errors
/// As [`plan`], and [`crate::Error::Io`] when the disk fails; there is then no
/// filesystem on it, since the superblock is written last.
pub fn format(disk: &dyn Disk, options: &FormatOptions) -> Result<()> {
    write(disk, &plan(disk.len(), options)?)
}

fn write(disk: &dyn Disk, plan: &FormatPlan) -> Result<()> {
    let mut scratch = Vec::new();
    plan.writes.iter().try_for_each(|(offset, bytes)| bytes.write(disk, *offset, &mut scratch))
}

/// Blocks with their places, in bytes.
pub(crate) type Waiting = Vec<(u64, Arc<Vec<u8>>)>;

/// As [`format()`], and opens what it made without reading it. What lies at the front and is soon
/// changed, the superblock too, is not written but given back, whole blocks with their offsets.
///
/// # Errors
/// As [`format()`].
pub(crate) fn make(disk: Arc<dyn Disk>, options: &FormatOptions) -> Result<(Filesystem, Waiting)> {
    let (plan, descriptors) = plan_with_descriptors(disk.len(), options, true)?;
    let front = front(&Geometry::new(&plan.superblock));
    let mut waiting = Waiting::new();
    let mut scratch = Vec::new();
    for (offset, bytes) in plan.writes {
        match bytes {
            Bytes::Made(bytes) if offset < front && bytes.len() <= WAITS => {
                waiting.push((offset, bytes));
            }
            bytes => bytes.write(&*disk, offset, &mut scratch)?,
        }
    }
    Ok((Filesystem::made(disk, plan.superblock, descriptors), waiting))
}
