//! Replay: what the log holds goes to its place, then the log is empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::location::JournalLocation;
use super::log::{Log, Newest};
use crate::layout::features::Incompat;
use crate::layout::superblock::{STATE_ERROR, SUPERBLOCK_OFFSET, Superblock};
use crate::layout::superblock_update::encode_over;
use crate::read::read_superblock;
use crate::{Disk, Error, Filesystem, Overlay, Result, le};

/// The tag that begins a fast commit.
const FAST_COMMIT_HEAD: u16 = 9;

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The filesystem asked for a replay. False: nothing was written.
    pub needed: bool,
    /// Complete transactions in the log.
    pub transactions: u32,
    /// Blocks written to their places.
    pub blocks: u64,
    /// Blocks that a transaction forbids to bring back from earlier ones.
    pub revoked: u64,
    /// The journal had been stopped by an error: the filesystem now says that
    /// it needs a check.
    pub aborted: bool,
}

/// Brings the filesystem on `disk` up to date with its journal.
///
/// Everything is read and checked before the first write. Replaying again
/// what was replayed changes nothing, so a crash on the way does no harm:
/// blocks, then a flush, then the empty log, then the superblock without
/// `needs_recovery`. Free counts are added up anew, because the kernel keeps
/// those in the superblock only on unmounting. Orphans are left as they are.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged log, [`Error::Incompatible`] for an
/// external journal, unknown features, or changes that only a fast commit
/// holds, and [`Error::Io`].
pub fn replay(disk: &Arc<dyn Disk>) -> Result<Replayed> {
    let Some(work) = Work::read(disk)? else { return Ok(Replayed::default()) };
    if let Some(log) = &work.log {
        let size = u64::from(work.sb.block_size());
        for (block, newest) in &log.newest {
            let mut data = Log::content(disk, &work.location, newest)?;
            let offset = block * size;
            keep_superblock_whole(&work.sb, offset, &mut data);
            disk.write_at(offset, &data)?;
        }
        disk.flush()?;
    }
    work.finish(disk)
}

/// The filesystem on `disk` as a replay would leave it; nothing is written to `disk`. What the log
/// holds is read from there when it is asked for: a log may be larger than memory.
///
/// # Errors
/// As [`replay`].
pub(crate) fn replayed(disk: Arc<dyn Disk>) -> Result<Arc<dyn Disk>> {
    let Some(mut work) = Work::read(&disk)? else { return Ok(disk) };
    let size = work.sb.block_size();
    let logged = Logged {
        below: disk,
        block_size: size.into(),
        location: work.location.clone(),
        newest: work.log.as_mut().map(|log| std::mem::take(&mut log.newest)).unwrap_or_default(),
        sb: work.sb.clone(),
    };
    let view: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::new(logged), size));
    work.finish(&view)?;
    Ok(view)
}

/// A disk beneath what the log of its journal holds.
struct Logged {
    below: Arc<dyn Disk>,
    block_size: u64,
    location: JournalLocation,
    newest: BTreeMap<u64, Newest>,
    /// As it is without the log.
    sb: Superblock,
}

impl Disk for Logged {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let size = self.block_size;
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (block, within) = (at / size, (at % size) as usize);
            // Up to the next block that the log holds, or to the end of this one.
            let next = self.newest.range(block..).next();
            let logged = next.filter(|(next, _)| **next == block);
            let end = match (logged, next) {
                (Some(_), _) => (block + 1) * size,
                (None, Some((next, _))) => next * size,
                (None, None) => u64::MAX,
            };
            let len = usize::try_from(end - at).map_or(rest.len(), |len| len.min(rest.len()));
            let (now, later) = rest.split_at_mut(len);
            if let Some((_, newest)) = logged {
                let mut data = Log::content(&self.below, &self.location, newest)?;
                keep_superblock_whole(&self.sb, block * size, &mut data);
                let from = data.get(within..within + len).unwrap_or_default();
                now.get_mut(..from.len()).unwrap_or_default().copy_from_slice(from);
            } else {
                self.below.read_at(at, now)?;
            }
            at += len as u64;
            rest = later;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, _data: &[u8]) -> Result<()> {
        let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
        Err(Error::Io { action: "write", offset, source })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.below.len()
    }
}

/// A replay that is to be done.
struct Work {
    sb: Superblock,
    location: JournalLocation,
    /// None when the log is empty.
    log: Option<Log>,
}

impl Work {
    /// Reads and checks all of it; none when the filesystem asks for none.
    fn read(disk: &Arc<dyn Disk>) -> Result<Option<Self>> {
        let sb = read_superblock(&**disk)?;
        if !sb.features().incompat.has(Incompat::RECOVER) {
            return Ok(None);
        }
        let fs = Filesystem::open_for_journal(Arc::clone(disk), &sb)?;
        let Some(location) = JournalLocation::find(&fs)? else {
            let what = "it needs its journal replayed, but has none".to_owned();
            return Err(Error::Corrupt { what });
        };
        let mut log = None;
        if location.superblock.s_start() != 0 {
            let read = Log::read(disk, &location, sb.blocks_count())?;
            refuse_fast_commits(disk, &location, read.end)?;
            log = Some(read);
        }
        Ok(Some(Self { sb, location, log }))
    }

    /// Empties the log, whose blocks are in their places on `disk`.
    fn finish(self, disk: &Arc<dyn Disk>) -> Result<Replayed> {
        let Self { mut location, log, .. } = self;
        let mut done = Replayed { needed: true, ..Replayed::default() };
        if let Some(log) = log {
            done.transactions = log.transactions;
            done.revoked = log.revoked;
            done.blocks = log.newest.len() as u64;
            location.superblock.set_s_sequence(log.end.wrapping_add(1));
        }
        done.aborted = location.superblock.s_errno() != 0;
        location.superblock.set_s_start(0);
        location.superblock.set_s_head(0);
        empty(disk, location, done)
    }
}

/// Says that the log is empty, and then that no replay is needed.
fn empty(disk: &Arc<dyn Disk>, mut location: JournalLocation, done: Replayed) -> Result<Replayed> {
    // The superblock may have come out of the log itself. It is made before
    // the log is emptied: should it be damaged, the log is still there.
    let before = read_superblock(&**disk)?;
    let mut sb = before.clone();
    let (mut blocks, mut inodes) = (0, 0);
    for descriptor in Filesystem::open_as_is(Arc::clone(disk))?.descriptors() {
        blocks += u64::from(descriptor.free_blocks_count());
        inodes += u64::from(descriptor.free_inodes_count());
    }
    sb.set_free_blocks_count(blocks * u64::from(sb.cluster_ratio()));
    sb.set_s_free_inodes_count(u32::try_from(inodes).unwrap_or(u32::MAX));
    let mut features = sb.features();
    features.incompat = features.incompat.without(Incompat::RECOVER);
    sb.set_features(features);
    if done.aborted {
        sb.set_s_state(sb.s_state() | STATE_ERROR);
        // The error moves to the superblock only once that is safe.
        disk.write_at(SUPERBLOCK_OFFSET, &encode_over(&before, &with_recover(&sb)))?;
        disk.flush()?;
        location.superblock.set_s_errno(0);
    }
    location.write_superblock(disk)?;
    disk.flush()?;
    disk.write_at(SUPERBLOCK_OFFSET, &encode_over(&before, &sb))?;
    disk.flush()?;
    Ok(done)
}

/// Where a block holds the superblock, a torn write of it must leave a valid one:
/// without it the log is not found again.
fn keep_superblock_whole(old: &Superblock, offset: u64, data: &mut [u8]) {
    let Some(at) = SUPERBLOCK_OFFSET.checked_sub(offset).and_then(|at| usize::try_from(at).ok())
    else {
        return;
    };
    if let Some(Ok(new)) = data.get(at..).filter(|rest| !rest.is_empty()).map(Superblock::parse) {
        le::put_bytes(data, at, &encode_over(old, &new));
    }
}

fn with_recover(sb: &Superblock) -> Superblock {
    let mut dirty = sb.clone();
    let mut features = dirty.features();
    features.incompat = features.incompat.with(Incompat::RECOVER);
    dirty.set_features(features);
    dirty
}

/// A fast commit that follows the last transaction holds changes that only the
/// kernel and e2fsck can make.
fn refuse_fast_commits(disk: &Arc<dyn Disk>, location: &JournalLocation, end: u32) -> Result<()> {
    if location.superblock.fast_commit_blocks() == 0 {
        return Ok(());
    }
    // The kernel leaves one block between the log and the fast commits unused.
    let first = location.superblock.log_end() + 1;
    let block = location.read(disk, first.min(u64::from(location.superblock.s_maxlen()) - 1))?;
    let tag: Option<u16> = le::get(&block, 0);
    let transaction: Option<u32> = le::get(&block, 8);
    if tag == Some(FAST_COMMIT_HEAD) && transaction == Some(end) {
        let feature = "fast_commit (its journal holds fast commits: run e2fsck -p)".to_owned();
        return Err(Error::Incompatible { feature });
    }
    Ok(())
}
