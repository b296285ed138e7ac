//! Bringing changes to a filesystem without a journal: an order of writes, and a mark.
//!
//! ```text
//!   content and whatever else goes into free blocks                    | barrier
//!   superblock: not clean (s_state), so that e2fsck looks at it        | barrier
//!   inodes that are gone                                               | barrier
//!   inodes of directories that grow, and the maps of their blocks      | barrier
//!   directories, trees of extents, attributes                          | barrier
//!   all other inodes                                                   | barrier
//!   bitmaps, descriptors                                               | barrier
//!   superblock: clean                                                  | barrier
//! ```
//!
//! A name without an inode is mostly taken away by `e2fsck -p`; an inode without a name it
//! leaves to people. So inodes go before their names and come after them, and names that move
//! to a new block of their directory are in both for a while rather than in neither.
//!
//! A power cut may leave a part of the batch. `e2fsck -p` repairs that mostly; a name in a
//! part of an inode table that was never used, names that are there twice, what moves between
//! directories and what a torn write of one block leaves may take `e2fsck -y`. What the batch
//! did not touch is there then: `tests/root/unjournalled.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::part::{Changes, Part};
use super::transaction::{Step, Transaction, write};
use crate::layout::geometry::Geometry;
use crate::layout::group::GroupDescriptor;
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind};
use crate::layout::superblock::{STATE_VALID, SUPERBLOCK_OFFSET};
use crate::layout::superblock_update::encode_over;
use crate::{Disk, Filesystem, Result, le};

/// Where an inode has its mode.
const MODE: usize = 0;
/// Where an inode has the lower half of its size.
const SIZE: usize = 4;
/// Of a directory's map, as when it is verified.
const MOST_PIECES: u64 = 1 << 26;
/// Where an inode has the count of its names.
const LINKS: usize = 0x1a;
/// Where an inode has the number that tells it from those that had its place before.
const GENERATION: usize = 0x64;

/// Plans the writes that lead from one state to another.
///
/// # Errors
/// What reading meets.
pub(super) fn plan(changes: &Changes, from: &Part, to: &Part) -> Result<Transaction> {
    let geometry = &to.geometry;
    let filesystem = Filesystem::open_as_is(Arc::clone(&to.overlay) as Arc<dyn Disk>)?;
    let places = Places::new(geometry, filesystem.descriptors());
    let mut plan = Transaction::default();
    for (block, bytes) in &changes.direct {
        write(&mut plan.before, geometry.offset(*block), Arc::clone(bytes));
    }
    plan.before.push(Step::Barrier);
    let steps = &mut plan.point;
    let mut marked = from.superblock.clone();
    marked.set_s_state(marked.s_state() & !STATE_VALID);
    write(steps, SUPERBLOCK_OFFSET, encode_over(&from.superblock, &marked).as_slice().into());
    steps.push(Step::Barrier);
    let first = SUPERBLOCK_OFFSET / u64::from(geometry.block_size);
    // Of a block of inodes, some are new and the others not yet.
    let mut ahead = vec![Step::Barrier];
    for (block, bytes) in changes.logged.iter().filter(|(b, _)| places.kind(*b) == Kind::Inodes) {
        let mut whole = vec![0; bytes.len()];
        from.overlay.read_at(geometry.offset(*block), &mut whole)?;
        for (steps, which) in [(&mut *steps, goes as Which), (&mut ahead, grows)] {
            if take(&mut whole, bytes, geometry.inode_size.into(), which) {
                write(steps, geometry.offset(*block), whole.as_slice().into());
            }
        }
    }
    let maps = maps(&filesystem, to)?;
    for (block, bytes) in changes.logged.iter().filter(|(block, _)| maps.contains(block)) {
        write(&mut ahead, geometry.offset(*block), Arc::clone(bytes));
    }
    ahead.push(Step::Barrier);
    steps.append(&mut ahead);
    let phase = |steps: &mut Vec<Step>, kind: Kind| {
        for (block, bytes) in &changes.logged {
            if places.kind(*block) == kind && *block != first && !maps.contains(block) {
                write(steps, geometry.offset(*block), Arc::clone(bytes));
            }
        }
        steps.push(Step::Barrier);
    };
    phase(steps, Kind::Owned);
    phase(steps, Kind::Inodes);
    phase(steps, Kind::Counts);
    // The mark goes also where nothing else of the superblock's block is new: within a second,
    // a change of a mode leaves all of it as it was.
    let changed = changes.logged.iter().find(|(block, _)| *block == first);
    let clean = encode_over(&from.superblock, &to.superblock);
    if let Some((_, bytes)) = changed {
        // What else that block holds, where it is larger than the superblock.
        let within = (SUPERBLOCK_OFFSET % u64::from(geometry.block_size)) as usize;
        let mut whole = bytes.to_vec();
        le::put_bytes(&mut whole, within, &clean);
        write(steps, geometry.offset(first), whole.into());
    } else {
        write(steps, SUPERBLOCK_OFFSET, clean.as_slice().into());
    }
    steps.push(Step::Barrier);
    Ok(plan)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Of an inode table.
    Inodes,
    /// Bitmaps, descriptors and their copies.
    Counts,
    /// Some inode's.
    Owned,
}

struct Places {
    geometry: Geometry,
    /// First blocks, in ascending order.
    tables: Vec<u64>,
    bitmaps: Vec<u64>,
}

impl Places {
    fn new(geometry: &Geometry, descriptors: &[GroupDescriptor]) -> Self {
        let mut tables: Vec<u64> = descriptors.iter().map(GroupDescriptor::inode_table).collect();
        let mut bitmaps: Vec<u64> =
            descriptors.iter().flat_map(|d| [d.block_bitmap(), d.inode_bitmap()]).collect();
        tables.sort_unstable();
        bitmaps.sort_unstable();
        Self { geometry: *geometry, tables, bitmaps }
    }

    fn kind(&self, block: u64) -> Kind {
        let after = self.tables.partition_point(|table| *table <= block);
        let table = after.checked_sub(1).and_then(|n| self.tables.get(n));
        if table.is_some_and(|table| block - table < u64::from(self.geometry.itable_blocks())) {
            return Kind::Inodes;
        }
        let head = self
            .geometry
            .group_of_block(block)
            .is_none_or(|(group, index)| index < self.geometry.base_blocks(group));
        if head || self.bitmaps.binary_search(&block).is_ok() { Kind::Counts } else { Kind::Owned }
    }
}

/// Blocks of maps of directories that were written.
fn maps(filesystem: &Filesystem, to: &Part) -> Result<BTreeSet<u64>> {
    let mut blocks = BTreeSet::new();
    for ino in &to.written {
        let inode = filesystem.inode(*ino)?;
        let directory = inode.kind() == Some(FileKind::Directory);
        let mapped = !inode.has_flag(FLAG_INLINE_DATA);
        if inode.i_links_count() != 0 && directory && mapped {
            blocks.extend(filesystem.block_map(*ino, &inode)?.tree_blocks(MOST_PIECES)?.nodes);
        }
    }
    Ok(blocks)
}

/// Whether an inode becomes what it is to be before the others do: what it was, what it will be.
type Which = fn(&[u8], &[u8]) -> bool;

fn in_use(inode: &[u8]) -> bool {
    le::get_or_zero::<u16>(inode, LINKS) != 0
}

fn goes(before: &[u8], after: &[u8]) -> bool {
    in_use(before) && !in_use(after)
}

/// A directory that grows: a leaf of it that is split gives half of its names to one behind the
/// old end. These would be nowhere if the leaf came first; so they are in two places for a while.
fn grows(before: &[u8], after: &[u8]) -> bool {
    let generation = |inode| le::get_or_zero::<u32>(inode, GENERATION);
    let size = |inode| le::get_or_zero::<u32>(inode, SIZE);
    let directory =
        |inode| FileKind::from_mode(le::get_or_zero(inode, MODE)) == Some(FileKind::Directory);
    in_use(before)
        && in_use(after)
        && directory(before)
        && directory(after)
        && generation(before) == generation(after)
        && size(before) < size(after)
}

/// Takes those inodes of a block over that are so; whether there are any.
fn take(block: &mut [u8], after: &[u8], inode_size: usize, which: Which) -> bool {
    let mut any = false;
    for (old, new) in block.chunks_exact_mut(inode_size).zip(after.chunks_exact(inode_size)) {
        if which(old, new) {
            old.copy_from_slice(new);
            any = true;
        }
    }
    any
}
