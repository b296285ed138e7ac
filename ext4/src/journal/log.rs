//! Reading the log: the complete transactions, what they revoke, and the newest content of each block.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::checksum::{commit_is_right, crc32_be, data_is_right, tail_is_right};
use super::location::JournalLocation;
use super::superblock::{COMMIT_BLOCK, COMPAT_CHECKSUM, DESCRIPTOR_BLOCK, REVOKE_BLOCK};
use super::tags::{self, Tag};
use crate::{Disk, Error, Result, be, le};

/// The newest content of one block of the filesystem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    /// The journal's block that holds it.
    pub(super) at: u64,
    pub(super) sequence: u32,
    pub(super) tag: Tag,
}

/// What a log says.
#[derive(Debug)]
pub(super) struct Log {
    /// Sequence behind the last complete transaction.
    pub(super) end: u32,
    /// Complete transactions.
    pub(super) transactions: u32,
    /// Blocks that were revoked.
    pub(super) revoked: u64,
    /// What to write: by block of the filesystem.
    pub(super) newest: BTreeMap<u64, Newest>,
}

/// One block of the log that says something.
enum Step {
    /// Tags, and the journal's block behind the descriptor.
    Descriptor(Vec<Tag>, u64),
    Revoke(Vec<u8>),
    Commit(Vec<u8>),
}

/// Goes through the log from its beginning.
struct Cursor<'a> {
    disk: &'a Arc<dyn Disk>,
    location: &'a JournalLocation,
    at: u64,
    sequence: u32,
    /// Blocks that may still be passed: the ring is gone round once at most.
    left: u64,
    /// A checksum was wrong in the current transaction.
    suspect: bool,
    /// The crc32 of version 1, over the current transaction.
    crc: u32,
}

impl<'a> Cursor<'a> {
    fn new(disk: &'a Arc<dyn Disk>, location: &'a JournalLocation) -> Self {
        let sb = &location.superblock;
        Self {
            disk,
            location,
            at: sb.s_start().into(),
            sequence: sb.s_sequence(),
            left: sb.log_end().saturating_sub(sb.s_first().into()),
            suspect: false,
            crc: !0,
        }
    }

    fn after(&self, at: u64) -> u64 {
        let sb = &self.location.superblock;
        if at + 1 >= sb.log_end() { sb.s_first().into() } else { at + 1 }
    }

    fn pass(&mut self) -> bool {
        self.at = self.after(self.at);
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }

    /// The next block that belongs to the current transaction; none at the
    /// log's end. `scan` also runs version 1's checksum.
    fn step(&mut self, scan: bool) -> Result<Option<Step>> {
        if self.left == 0 {
            return Ok(None);
        }
        let sb = &self.location.superblock;
        let block = self.location.read(self.disk, self.at)?;
        let Some((kind, sequence)) = tags::header(&block) else { return Ok(None) };
        if sequence != self.sequence {
            return Ok(None);
        }
        let old_checksums = scan && sb.s_feature_compat() & COMPAT_CHECKSUM != 0;
        match kind {
            DESCRIPTOR_BLOCK => {
                self.suspect |= !tail_is_right(sb, &block);
                let tags = tags::tags(sb, &block);
                if old_checksums {
                    self.crc = crc32_be(self.crc, &block);
                }
                if !self.pass() {
                    return Ok(None);
                }
                let first = self.at;
                for _ in &tags {
                    if old_checksums {
                        let data = self.location.read(self.disk, self.at)?;
                        self.crc = crc32_be(self.crc, &data);
                    }
                    if !self.pass() {
                        return Ok(None);
                    }
                }
                Ok(Some(Step::Descriptor(tags, first)))
            }
            REVOKE_BLOCK => {
                self.suspect |= !tail_is_right(sb, &block);
                self.pass();
                Ok(Some(Step::Revoke(block)))
            }
            COMMIT_BLOCK => {
                self.pass();
                self.sequence = self.sequence.wrapping_add(1);
                Ok(Some(Step::Commit(block)))
            }
            _ => Ok(None),
        }
    }
}

impl Log {
    /// Reads the whole log. Nothing is written.
    pub(super) fn read(
        disk: &Arc<dyn Disk>,
        location: &JournalLocation,
        blocks_count: u64,
    ) -> Result<Self> {
        let (end, transactions) = scan(disk, location)?;
        let forbidden = revokes(disk, location, end, blocks_count)?;
        let newest = collect(disk, location, end, &forbidden, blocks_count)?;
        Ok(Self { end, transactions, revoked: forbidden.len() as u64, newest })
    }

    /// The content of one block, ready for its place.
    pub(super) fn content(
        disk: &Arc<dyn Disk>,
        location: &JournalLocation,
        newest: &Newest,
    ) -> Result<Vec<u8>> {
        let mut data = location.read(disk, newest.at)?;
        if !data_is_right(&location.superblock, &newest.tag, newest.sequence, &data) {
            return Err(corrupt(newest.sequence));
        }
        if newest.tag.escaped {
            le::put_bytes(&mut data, 0, &super::superblock::JBD2_MAGIC.to_be_bytes());
        }
        Ok(data)
    }
}

/// The sequence behind the last complete transaction, and how many there are.
fn scan(disk: &Arc<dyn Disk>, location: &JournalLocation) -> Result<(u32, u32)> {
    let sb = &location.superblock;
    let mut cursor = Cursor::new(disk, location);
    let mut complete = 0;
    let mut last_time = (0, 0);
    let mut before = cursor.sequence;
    while let Some(step) = cursor.step(true)? {
        let Step::Commit(block) = step else { continue };
        let time = commit_time(&block);
        let right = !cursor.suspect && commit_is_right(sb, &block) && old_is_right(&cursor, &block);
        if !right {
            // Blocks of an older life of the journal may seem to continue the
            // log. They are recognised by their time; anything else is damage.
            if time < last_time {
                break;
            }
            return Err(corrupt(before));
        }
        complete += 1;
        last_time = time;
        before = cursor.sequence;
        cursor.crc = !0;
    }
    Ok((before, complete))
}

fn commit_time(block: &[u8]) -> (u64, u32) {
    let word = |at| be::u32_at(block, at).unwrap_or_default();
    (u64::from(word(0x30)) << 32 | u64::from(word(0x34)), word(0x38))
}

/// Version 1: type 1 and length 4 in the commit block, or nothing at all.
fn old_is_right(cursor: &Cursor<'_>, block: &[u8]) -> bool {
    let sb = &cursor.location.superblock;
    if sb.s_feature_compat() & COMPAT_CHECKSUM == 0 {
        return true;
    }
    let kind = be::u16_at(block, 0x0c);
    let stored = be::u32_at(block, 0x10);
    kind == Some(0x0104) && stored == Some(cursor.crc) || kind == Some(0) && stored == Some(0)
}

/// For each revoked block the last transaction that says so.
fn revokes(
    disk: &Arc<dyn Disk>,
    location: &JournalLocation,
    end: u32,
    blocks_count: u64,
) -> Result<HashMap<u64, u32>> {
    let mut found: HashMap<u64, u32> = HashMap::new();
    let mut cursor = Cursor::new(disk, location);
    while cursor.sequence != end {
        let sequence = cursor.sequence;
        let Some(step) = cursor.step(false)? else { return Err(corrupt(sequence)) };
        if let Step::Revoke(block) = step {
            for number in tags::revoked(&location.superblock, &block)? {
                // Sequences ascend along the log, so the last one stands. Blocks that do not
                // exist would only take memory.
                if number < blocks_count {
                    found.insert(number, sequence);
                }
            }
        }
    }
    Ok(found)
}

/// The newest content of every block that is not revoked later, checked.
fn collect(
    disk: &Arc<dyn Disk>,
    location: &JournalLocation,
    end: u32,
    forbidden: &HashMap<u64, u32>,
    blocks_count: u64,
) -> Result<BTreeMap<u64, Newest>> {
    let first = location.superblock.s_sequence();
    let age = |sequence: u32| sequence.wrapping_sub(first);
    let mut newest = BTreeMap::new();
    let mut cursor = Cursor::new(disk, location);
    while cursor.sequence != end {
        let sequence = cursor.sequence;
        let Some(step) = cursor.step(false)? else { return Err(corrupt(sequence)) };
        let Step::Descriptor(tags, mut at) = step else { continue };
        for tag in tags {
            let revoked =
                forbidden.get(&tag.block).is_some_and(|until| age(*until) >= age(sequence));
            if !revoked {
                if tag.block >= blocks_count || location.owns(tag.block) {
                    return Err(corrupt(sequence));
                }
                newest.insert(tag.block, Newest { at, sequence, tag });
            }
            at = cursor.after(at);
        }
    }
    for found in newest.values() {
        Log::content(disk, location, found)?;
    }
    Ok(newest)
}

fn corrupt(sequence: u32) -> Error {
    Error::Corrupt { what: format!("the journal's transaction {sequence}") }
}
