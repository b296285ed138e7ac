//! A batch as one transaction of the journal: a plan of writes and barriers.
//!
//! ```text
//!   direct blocks, the log, the OLD superblock asking for recovery | barrier
//!   journal superblock: the log begins here     <- the commit point | barrier
//!   every logged block to its place                                 | barrier
//!   journal superblock: the log is empty                            | barrier
//!   superblock without asking for recovery
//! ```
//!
//! Nothing waits for the last write: a filesystem that asks for the recovery of an empty log
//! holds the same, and whoever changes it next flushes before it begins a log.
//! Before the commit point a crash leaves an empty log, behind it a whole one. The
//! superblock must ask for recovery durably before the log begins: a kernel that is
//! not asked wipes the journal.

use std::sync::Arc;

use super::part::Changes;
use crate::journal::JournalLocation;
use crate::journal::superblock::{
    COMMIT_BLOCK, DESCRIPTOR_BLOCK, INCOMPAT_64BIT, INCOMPAT_CSUM_V3, JBD2_MAGIC, SUPERBLOCK_V2,
};
use crate::layout::checksum::crc32c;
use crate::layout::features::Incompat;
use crate::layout::superblock::{SUPERBLOCK_OFFSET, Superblock};
use crate::layout::superblock_update::encode_over;
use crate::{Error, Result, Timestamp, be};

/// Bytes before the first tag of a descriptor.
const HEADER: usize = 12;
/// The uuid behind the first tag.
const UUID: usize = 16;
/// The data began with the journal's magic, which is zero in the log.
const FLAG_ESCAPE: u32 = 1;
/// No uuid follows.
const FLAG_SAME_UUID: u32 = 2;
/// The last tag of its descriptor.
const FLAG_LAST_TAG: u32 = 8;
/// Writes that follow each other are one up to this many bytes: a disk that must join them in memory
/// has so much for less than the calls cost that are saved.
const LONGEST_WRITE: usize = 64 << 10;

/// A step of a plan.
pub(super) enum Step {
    /// Pieces that follow each other, from an offset of the device on: one write.
    Write {
        offset: u64,
        /// Bytes of all pieces.
        len: usize,
        pieces: Vec<Arc<[u8]>>,
    },
    /// Everything before is durable before anything behind is begun.
    Barrier,
}

/// What stands where before the batch, and what the superblock is to be.
pub(super) struct Superblocks {
    pub(super) old: Superblock,
    pub(super) new: Superblock,
}

/// A block of the device with its new content.
type Logged = (u64, Arc<[u8]>);

/// The steps around the one that decides.
#[derive(Default)]
pub(super) struct Transaction {
    /// A crash during these leaves nothing of it.
    pub(super) before: Vec<Step>,
    /// The commit point, durable.
    pub(super) point: Vec<Step>,
    /// A crash during these leaves it to be finished by whoever comes next.
    pub(super) after: Vec<Step>,
}

/// Adds a write, joined to the last one where it follows it.
pub(super) fn write(steps: &mut Vec<Step>, offset: u64, bytes: Arc<[u8]>) {
    let more = bytes.len();
    if let Some(Step::Write { offset: start, len, pieces }) = steps.last_mut()
        && *start + *len as u64 == offset
        && *len + more <= LONGEST_WRITE
    {
        *len += more;
        pieces.push(bytes);
        return;
    }
    steps.push(Step::Write { offset, len: more, pieces: vec![bytes] });
}

/// With or without asking for recovery.
fn asking(superblock: &Superblock, recover: bool) -> Superblock {
    let mut changed = superblock.clone();
    let mut features = changed.features();
    features.incompat = if recover {
        features.incompat.with(Incompat::RECOVER)
    } else {
        features.incompat.without(Incompat::RECOVER)
    };
    changed.set_features(features);
    changed
}

/// Blocks of the journal that a transaction may take. One is left: what follows must not
/// look like a continuation of the log.
pub(super) fn room(journal: &JournalLocation) -> u64 {
    let first = u64::from(journal.superblock.s_first());
    journal.superblock.log_end().saturating_sub(first + 1)
}

/// Blocks that the changes would take beyond what the journal has.
pub(super) fn excess(journal: &JournalLocation, changes: &Changes) -> u64 {
    let blocks = changes.logged.len();
    let log = blocks + blocks.div_ceil(tags_per_descriptor(journal)) + 1;
    (log as u64).saturating_sub(room(journal))
}

fn tags_per_descriptor(journal: &JournalLocation) -> usize {
    let superblock = &journal.superblock;
    let tail = if superblock.checksummed() { 4 } else { 0 };
    // The first tag takes a uuid with it.
    let bytes = journal.block_size().saturating_sub(HEADER + UUID + tail);
    (bytes / superblock.tag_size()).max(1)
}

/// Plans the transaction, `None` when there is nothing to do, with the superblock that is
/// on the device at the end. The journal is left ready for the next one.
///
/// # Errors
/// [`Error::TooLarge`] when the log cannot hold it, and as [`check`].
pub(super) fn plan(
    journal: &mut JournalLocation,
    changes: &Changes,
    superblocks: &Superblocks,
    now: Timestamp,
) -> Result<Option<(Transaction, Superblock)>> {
    check(journal)?;
    if changes.logged.is_empty() {
        return Ok(None);
    }
    let changed = changes.direct.iter().chain(&changes.logged);
    if let Some((block, _)) = changed.into_iter().find(|(block, _)| journal.owns(*block)) {
        let what = format!("block {block} is the journal's and somebody else's");
        return Err(Error::Corrupt { what });
    }
    let block_size = journal.block_size();
    let offset = |block: u64| block * block_size as u64;
    let over = |new: &Superblock, recover| encode_over(&superblocks.old, &asking(new, recover));
    // Within block 0 or 1, the superblock as the log has it asks for recovery too.
    let within = (SUPERBLOCK_OFFSET % block_size as u64) as usize;
    let mut logged = changes.logged.clone();
    for (block, bytes) in &mut logged {
        if *block == SUPERBLOCK_OFFSET / block_size as u64 {
            let mut whole = bytes.to_vec();
            crate::le::put_bytes(&mut whole, within, &over(&superblocks.new, true));
            *bytes = whole.into();
        }
    }
    let last = logged.last().map_or(0, |(block, _)| *block);
    if last > u64::from(u32::MAX) {
        if journal.superblock.h_blocktype() != SUPERBLOCK_V2 {
            let feature = "a journal of version 1 and block numbers beyond 32 bits".to_owned();
            return Err(Error::Incompatible { feature });
        }
        let features = journal.superblock.s_feature_incompat() | INCOMPAT_64BIT;
        journal.superblock.set_s_feature_incompat(features);
    }
    let mut plan = Transaction::default();
    for (block, bytes) in &changes.direct {
        write(&mut plan.before, offset(*block), Arc::clone(bytes));
    }
    let log = log(journal, &logged, now);
    if log.len() as u64 > room(journal) {
        let what = format!("the batch ({} blocks of the journal)", log.len());
        return Err(Error::TooLarge { what, limit: room(journal) });
    }
    let first = u64::from(journal.superblock.s_first());
    let end: Arc<[u8]> = vec![0; block_size].into();
    for (number, bytes) in (first..).zip(log.into_iter().chain([end])) {
        write(&mut plan.before, offset(journal.block(number)?), bytes);
    }
    write(&mut plan.before, SUPERBLOCK_OFFSET, over(&superblocks.old, true).as_slice().into());
    plan.before.push(Step::Barrier);
    let place = offset(journal.block(0)?);
    let sequence = journal.superblock.s_sequence();
    journal.superblock.set_s_start(journal.superblock.s_first());
    write(&mut plan.point, place, journal.superblock.encode().as_slice().into());
    plan.point.push(Step::Barrier);
    // A kernel that finds more groups than there are descriptors does not come to replay
    // the journal: of a filesystem that grows, the superblock is last.
    let grows = superblocks.old.blocks_count() != superblocks.new.blocks_count();
    let last = |block: u64| grows && block == SUPERBLOCK_OFFSET / block_size as u64;
    for (block, bytes) in logged.iter().filter(|(block, _)| !last(*block)) {
        write(&mut plan.after, offset(*block), Arc::clone(bytes));
    }
    if grows {
        plan.after.push(Step::Barrier);
        for (block, bytes) in logged.iter().filter(|(block, _)| last(*block)) {
            write(&mut plan.after, offset(*block), Arc::clone(bytes));
        }
    }
    plan.after.push(Step::Barrier);
    journal.superblock.set_s_start(0);
    journal.superblock.set_s_sequence(sequence.wrapping_add(1));
    write(&mut plan.after, place, journal.superblock.encode().as_slice().into());
    plan.after.push(Step::Barrier);
    let at_last = over(&superblocks.new, false);
    write(&mut plan.after, SUPERBLOCK_OFFSET, at_last.as_slice().into());
    Ok(Some((plan, Superblock::parse(&at_last)?)))
}

/// Whether a transaction may begin.
///
/// # Errors
/// [`Error::Incompatible`] when the journal was stopped by an error, [`Error::Corrupt`]
/// when it is not empty.
pub(super) fn check(journal: &JournalLocation) -> Result<()> {
    if journal.superblock.s_errno() != 0 {
        let feature = "a journal that was stopped by an error: run e2fsck".to_owned();
        return Err(Error::Incompatible { feature });
    }
    if journal.superblock.s_start() != 0 {
        return Err(Error::Corrupt { what: "the journal is not empty".to_owned() });
    }
    Ok(())
}

/// The blocks of the log: descriptors with what they name, and the commit.
fn log(journal: &JournalLocation, logged: &[Logged], now: Timestamp) -> Vec<Arc<[u8]>> {
    let superblock = &journal.superblock;
    let tag_size = superblock.tag_size();
    let tail = if superblock.checksummed() { 4 } else { 0 };
    let mut blocks = Vec::with_capacity(logged.len() + logged.len() / 100 + 3);
    for piece in logged.chunks(tags_per_descriptor(journal)) {
        let mut descriptor = header(journal, DESCRIPTOR_BLOCK);
        let mut data = Vec::with_capacity(piece.len());
        let mut at = HEADER;
        for (n, (block, bytes)) in piece.iter().enumerate() {
            let mut bytes = Arc::clone(bytes);
            let mut flags = 0;
            if be::u32_at(&bytes, 0) == Some(JBD2_MAGIC) {
                be::put_u32(Arc::make_mut(&mut bytes), 0, 0);
                flags |= FLAG_ESCAPE;
            }
            if n > 0 {
                flags |= FLAG_SAME_UUID;
            }
            if n + 1 == piece.len() {
                flags |= FLAG_LAST_TAG;
            }
            put_tag(journal, &mut descriptor, at, *block, flags, &bytes);
            at += tag_size;
            if n == 0 {
                crate::le::put_bytes(&mut descriptor, at, &superblock.s_uuid());
                at += UUID;
            }
            data.push(bytes);
        }
        if superblock.checksummed() {
            let end = descriptor.len() - tail;
            let sum = crc32c(superblock.checksum_seed(), &descriptor);
            be::put_u32(&mut descriptor, end, sum);
        }
        blocks.push(descriptor.into());
        blocks.append(&mut data);
    }
    let mut commit = header(journal, COMMIT_BLOCK);
    crate::le::put_bytes(&mut commit, 0x30, &now.seconds.to_be_bytes());
    be::put_u32(&mut commit, 0x38, now.nanoseconds);
    if superblock.checksummed() {
        let sum = crc32c(superblock.checksum_seed(), &commit);
        be::put_u32(&mut commit, 0x10, sum);
    }
    blocks.push(commit.into());
    blocks
}

/// A block of the journal's own, with the sequence of the next transaction.
fn header(journal: &JournalLocation, kind: u32) -> Vec<u8> {
    let mut block = vec![0; journal.block_size()];
    be::put_u32(&mut block, 0, JBD2_MAGIC);
    be::put_u32(&mut block, 4, kind);
    be::put_u32(&mut block, 8, journal.superblock.s_sequence());
    block
}

/// Writes the tag of one block, in the form that the journal's features ask for.
fn put_tag(
    journal: &JournalLocation,
    descriptor: &mut [u8],
    at: usize,
    block: u64,
    flags: u32,
    data: &[u8],
) {
    let superblock = &journal.superblock;
    let sum = if superblock.checksummed() {
        let sequence = superblock.s_sequence().to_be_bytes();
        crc32c(crc32c(superblock.checksum_seed(), &sequence), data)
    } else {
        0
    };
    be::put_u32(descriptor, at, block as u32);
    if superblock.has(INCOMPAT_CSUM_V3) {
        be::put_u32(descriptor, at + 4, flags);
        be::put_u32(descriptor, at + 8, (block >> 32) as u32);
        be::put_u32(descriptor, at + 12, sum);
        return;
    }
    be::put_u16(descriptor, at + 4, sum as u16);
    be::put_u16(descriptor, at + 6, flags as u16);
    if superblock.has(INCOMPAT_64BIT) {
        be::put_u32(descriptor, at + 8, (block >> 32) as u32);
    }
}
