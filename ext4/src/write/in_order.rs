//! Bringing changes to a filesystem without a journal: an order of writes, and a mark.
//!
//! ```text
//!   content and whatever else goes into free blocks                    | barrier
//!   superblock: not clean (s_state), so that e2fsck looks at it        | barrier
//!   inodes that are gone                                               | barrier
//!   directories, trees of extents, attributes                          | barrier
//!   all other inodes                                                   | barrier
//!   bitmaps, descriptors                                               | barrier
//!   superblock: clean                                                  | barrier
//! ```
//!
//! A name without an inode is taken away by `e2fsck -p`; an inode without a name it
//! leaves to people. So inodes go before their names and come after them. What moves
//! between directories, and what a torn write of one block leaves, may still take `e2fsck -y`.

use std::sync::Arc;

use super::part::{Changes, Part};
use super::transaction::{Step, Transaction, write};
use crate::layout::geometry::Geometry;
use crate::layout::group::GroupDescriptor;
use crate::layout::superblock::{STATE_VALID, SUPERBLOCK_OFFSET};
use crate::layout::superblock_update::encode_over;
use crate::{Disk, Filesystem, Result, le};

/// Where an inode has the count of its names.
const LINKS: usize = 0x1a;

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
    let phase = |steps: &mut Vec<Step>, kind: Kind| {
        for (block, bytes) in &changes.logged {
            if places.kind(*block) == kind && *block != first {
                write(steps, geometry.offset(*block), Arc::clone(bytes));
            }
        }
        steps.push(Step::Barrier);
    };
    for (block, bytes) in &changes.logged {
        if places.kind(*block) == Kind::Inodes {
            let mut before = vec![0; bytes.len()];
            from.overlay.read_at(geometry.offset(*block), &mut before)?;
            if let Some(gone) = gone(&before, bytes, geometry.inode_size.into()) {
                write(steps, geometry.offset(*block), gone.into());
            }
        }
    }
    steps.push(Step::Barrier);
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

/// A block of inodes in which those that go are gone, and nothing else has happened;
/// `None` when none goes.
fn gone(before: &[u8], after: &[u8], inode_size: usize) -> Option<Vec<u8>> {
    let mut block = before.to_vec();
    let mut any = false;
    for (n, (old, new)) in
        before.chunks_exact(inode_size).zip(after.chunks_exact(inode_size)).enumerate()
    {
        let in_use = |inode: &[u8]| le::get_or_zero::<u16>(inode, LINKS) != 0;
        if in_use(old) && !in_use(new) {
            le::put_bytes(&mut block, n * inode_size, new);
            any = true;
        }
    }
    any.then_some(block)
}
