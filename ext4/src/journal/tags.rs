//! Descriptor blocks, which name the blocks behind them, and revoke blocks, which forbid some.

use super::superblock::{INCOMPAT_64BIT, INCOMPAT_CSUM_V3, JournalSuperblock};
use crate::{Error, Result, be};

/// Bytes of the header that all blocks of the journal have.
const HEADER: usize = 12;
/// The data began with the journal's magic, which was zeroed in the log.
const FLAG_ESCAPE: u32 = 1;
/// No uuid follows the tag.
const FLAG_SAME_UUID: u32 = 2;
/// The last tag of its block.
const FLAG_LAST_TAG: u32 = 8;

/// One block in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its place on the device, in blocks.
    pub(super) block: u64,
    /// Its first four bytes must be the magic again.
    pub(super) escaped: bool,
    /// 16 bits in version 2, 32 in version 3.
    pub(super) checksum: u32,
}

/// The header of a journal block: type and sequence; none for anything else.
pub(super) fn header(block: &[u8]) -> Option<(u32, u32)> {
    let magic = be::u32_at(block, 0)?;
    let is_journals = magic == super::superblock::JBD2_MAGIC;
    is_journals.then_some((be::u32_at(block, 4)?, be::u32_at(block, 8)?))
}

/// Bytes at the end of descriptor and revoke blocks that are the checksum's.
fn tail(sb: &JournalSuperblock) -> usize {
    if sb.checksummed() { 4 } else { 0 }
}

/// The tags of a descriptor block.
pub(super) fn tags(sb: &JournalSuperblock, block: &[u8]) -> Vec<Tag> {
    let end = block.len().saturating_sub(tail(sb));
    let size = sb.tag_size();
    let mut found = Vec::new();
    let mut at = HEADER;
    while at + size <= end {
        let word = |offset: usize| be::u32_at(block, at + offset).unwrap_or_default();
        let (flags, checksum) = if sb.has(INCOMPAT_CSUM_V3) {
            (word(4), word(12))
        } else {
            let half = |offset: usize| be::u16_at(block, at + offset).unwrap_or_default();
            (u32::from(half(6)), u32::from(half(4)))
        };
        let high = if sb.has(INCOMPAT_64BIT) { word(8) } else { 0 };
        found.push(Tag {
            block: u64::from(word(0)) | u64::from(high) << 32,
            escaped: flags & FLAG_ESCAPE != 0,
            checksum,
        });
        if flags & FLAG_LAST_TAG != 0 {
            break;
        }
        at += size + if flags & FLAG_SAME_UUID == 0 { 16 } else { 0 };
    }
    found
}

/// The blocks that a revoke block names.
pub(super) fn revoked(sb: &JournalSuperblock, block: &[u8]) -> Result<Vec<u64>> {
    let used = be::u32_at(block, HEADER).unwrap_or_default() as usize;
    let most = block.len().saturating_sub(tail(sb));
    let Some(bytes) = block.get(HEADER + 4..used).filter(|_| used <= most) else {
        return Err(Error::Corrupt { what: "a revoke block of the journal is damaged".to_owned() });
    };
    let word = |bytes: &[u8], at| u64::from(be::u32_at(bytes, at).unwrap_or_default());
    if sb.has(INCOMPAT_64BIT) {
        Ok(bytes.chunks_exact(8).map(|row| word(row, 0) << 32 | word(row, 4)).collect())
    } else {
        Ok(bytes.chunks_exact(4).map(|row| word(row, 0)).collect())
    }
}
