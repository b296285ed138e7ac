//! Growing an unmounted filesystem to the size of its disk, as one transaction.
//!
//! What exists stays where it is. New groups get their metadata in the new part of the disk,
//! which nobody reads before the superblock says so. Their descriptors go where room was
//! reserved for them when the filesystem was made (the inode [`crate::layout::inode::RESIZE_INO`]
//! owns it); once that is used up, the filesystem goes on with `meta_bg`, as the kernel's own
//! growing does: descriptors then lie in the groups that they describe.

mod descriptors;
mod target;
mod volume;

use std::sync::Arc;

use crate::layout::superblock::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, Superblock};
use crate::{Batch, Disk, Error, Flush, Outcome, Result};

/// What became of a filesystem that was to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Bytes of the filesystem before.
    pub before: u64,
    /// Bytes of the filesystem now; the same as before where the disk has no room for more.
    pub after: u64,
    /// A crash would have left the filesystem as it was or as it is now. Without a journal
    /// that cannot be had.
    pub atomic: bool,
}

/// Grows the filesystem on `disk` until it fills it. Nobody else may use it meanwhile.
///
/// A last group too small to hold its own metadata is left out, so that up to some MiB at
/// the end may stay unused. `zeroed` says that everything behind the filesystem's present end
/// reads as zero, as in a sparse file that was just made longer; never true of storage that
/// held anything before.
///
/// # Errors
/// [`crate::Error::TooLarge`] for a size that the filesystem's format cannot have,
/// [`crate::Error::Incompatible`] with what this engine would not keep right,
/// [`crate::Error::NoSpace`], [`crate::Error::Corrupt`], [`crate::Error::Io`]: the filesystem is
/// as before then, but for a dirty journal that was replayed. [`crate::Error::Interrupted`] says
/// what it is.
pub fn grow(disk: &Arc<dyn Disk>, zeroed: bool, flush: Flush) -> Result<Grown> {
    let mut batch = Batch::open(Arc::clone(disk))?;
    let (before, after) = batch.grow(disk.len(), zeroed)?;
    if before == after {
        return Ok(Grown { before, after, atomic: true });
    }
    let overhead = batch.overhead();
    let atomic = batch.commit(flush)?.atomic;
    write_overhead(&**disk, overhead, flush).map_err(|source| Error::Interrupted {
        outcome: Outcome::Applied,
        source: Box::new(source),
    })?;
    Ok(Grown { before, after, atomic })
}

/// Whether the superblock in its place leaves room that [`grow`] would take. Of a grown
/// filesystem whose journal was not replayed yet that is so: who looks only at the
/// superblock, as the kernel does when it begins to mount, still finds the old size.
///
/// # Errors
/// As [`grow`], for what of it the superblock tells; nothing is written.
pub fn can_grow(disk: &dyn Disk) -> Result<bool> {
    let mut bytes = [0; SUPERBLOCK_SIZE];
    disk.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
    Ok(target::target(&Superblock::parse(&bytes)?, disk.len())?.is_some())
}

/// Writes `s_overhead_clusters`, which `df` shows and nothing depends on. It lies in the
/// superblock's second sector, with the checksum; the transaction leaves that sector alone,
/// so that a torn write of two sectors does no harm, and it is written here as one.
fn write_overhead(disk: &dyn Disk, overhead: u32, flush: Flush) -> Result<()> {
    const SECTOR: usize = 512;
    let mut bytes = [0; SUPERBLOCK_SIZE];
    disk.read_at(SUPERBLOCK_OFFSET, &mut bytes)?;
    let mut sb = Superblock::parse(&bytes)?;
    sb.set_s_overhead_blocks(overhead);
    let encoded = sb.encode();
    if let Some(second) = encoded.get(SECTOR..) {
        disk.write_at(SUPERBLOCK_OFFSET + SECTOR as u64, second)?;
    }
    match flush {
        Flush::PowerSafe => disk.flush(),
        Flush::ProcessSafe => Ok(()),
    }
}
