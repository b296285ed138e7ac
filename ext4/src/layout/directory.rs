//! Linear directory blocks: entries one behind the other, a checksum in a fake last entry.

use super::checksum::crc32c;
use crate::le;
use crate::{Error, Result};

/// Bytes of the fake entry that carries a block's checksum.
pub const TAIL_SIZE: usize = 12;
/// Longest name, in bytes.
pub const MAX_NAME: usize = 255;
/// `file_type` of the fake entry.
const TAIL_TYPE: u8 = 0xde;
/// Bytes of an entry before its name.
pub const ENTRY_HEADER: usize = 8;

/// Bytes an entry with a name of this length needs.
#[inline]
#[must_use]
pub fn entry_size(name_len: usize) -> usize {
    (ENTRY_HEADER + name_len + 3) & !3
}

/// One entry, as it lies in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Where in the block it begins.
    pub offset: usize,
    /// `rec_len`: bytes to the next entry.
    pub rec_len: usize,
    /// The inode; 0 is an unused entry.
    pub inode: u32,
    /// `file_type`, 0 when the filesystem does not keep it.
    pub file_type: u8,
    /// The name, 1 to 255 bytes for an entry in use.
    pub name: &'a [u8],
}

/// Iterates the entries of a block (or of inline data) and ends with an error
/// at the first impossible one.
#[derive(Debug, Clone)]
pub struct DirEntries<'a> {
    bytes: &'a [u8],
    block_size: usize,
    offset: usize,
    types: bool,
    /// Names are looked at too.
    names: bool,
}

/// The entries of a directory block. With `tail` its last 12 bytes are the
/// checksum's; `types` says that the feature `filetype` is on.
#[must_use]
pub fn entries(block: &[u8], tail: bool, types: bool) -> DirEntries<'_> {
    let end = if tail { block.len().saturating_sub(TAIL_SIZE) } else { block.len() };
    let bytes = block.get(..end).unwrap_or_default();
    DirEntries { bytes, block_size: block.len(), offset: 0, types, names: true }
}

/// As [`entries`], for who only compares names with a possible one: whether theirs are is not
/// looked at.
pub(crate) fn records(block: &[u8], tail: bool, types: bool) -> DirEntries<'_> {
    DirEntries { names: false, ..entries(block, tail, types) }
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = Result<DirEntry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        match self.entry() {
            Ok(entry) => {
                self.offset += entry.rec_len;
                Some(Ok(entry))
            }
            Err(what) => Some(self.end(what)),
        }
    }
}

impl<'a> DirEntries<'a> {
    /// Goes on at a byte at which an entry begins.
    pub(crate) fn starting_at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// The first entry in use from here on that has this name, which is a possible one. Of the
    /// others only what leads to the next is looked at.
    pub(crate) fn named(&mut self, name: &[u8]) -> Option<Result<DirEntry<'a>>> {
        loop {
            let rest = self.bytes.get(self.offset..).unwrap_or_default();
            let Some((header, body)) = rest.split_first_chunk::<ENTRY_HEADER>() else {
                return self.next();
            };
            let header = u64::from_le_bytes(*header);
            let name_len = (header >> 48) as u8;
            if usize::from(name_len) == name.len()
                && header as u32 != 0
                && body.get(..name.len()) == Some(name)
            {
                return self.next();
            }
            let rec_len = decode_rec_len((header >> 32) as u16, self.block_size);
            if rec_len < entry_size(name_len.into()) || rec_len > rest.len() || rec_len & 3 != 0 {
                return self.next();
            }
            self.offset += rec_len;
        }
    }

    /// Behind a damaged entry nothing can be found.
    #[cold]
    fn end(&mut self, what: &str) -> Result<DirEntry<'a>> {
        let what = format!("directory entry at byte {}: {what}", self.offset);
        self.offset = self.bytes.len();
        Err(Error::Corrupt { what })
    }

    #[inline]
    fn entry(&self) -> Result<DirEntry<'a>, &'static str> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some((header, body)) = rest.split_first_chunk::<ENTRY_HEADER>() else {
            return Err("it is cut short");
        };
        let [i0, i1, i2, i3, len0, len1, name_len, kind] = *header;
        let inode = u32::from_le_bytes([i0, i1, i2, i3]);
        let rec_len = decode_rec_len(u16::from_le_bytes([len0, len1]), self.block_size);
        if rec_len < ENTRY_HEADER || rec_len > rest.len() || rec_len & 3 != 0 {
            return Err("its length is impossible");
        }
        let Some(name) = body.get(..usize::from(name_len)) else {
            return Err("its name leaves the block");
        };
        if entry_size(name.len()) > rec_len {
            return Err("its name leaves the entry");
        }
        if self.names && inode != 0 && !is_possible(name) {
            return Err("its name is impossible");
        }
        let file_type = if self.types { kind } else { 0 };
        Ok(DirEntry { offset: self.offset, rec_len, inode, file_type, name })
    }
}

/// Whether a file can have this name: not empty, without a slash and without a NUL.
fn is_possible(name: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7) != 0;
    let (words, rest) = name.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let bad = words.any(|word| has_zero(word) || has_zero(word ^ (ONES * u64::from(b'/'))))
        || rest.iter().any(|byte| *byte == 0 || *byte == b'/');
    !name.is_empty() && !bad
}

/// `rec_len` as stored means itself, but for blocks of 64 KiB.
#[inline]
#[must_use]
pub fn decode_rec_len(stored: u16, block_size: usize) -> usize {
    let len = usize::from(stored);
    if block_size < 65_536 {
        len
    } else if stored == 65_535 || stored == 0 {
        block_size
    } else {
        len & 65_532 | (len & 3) << 16
    }
}

/// The stored form of a length.
#[must_use]
pub fn encode_rec_len(len: usize, block_size: usize) -> u16 {
    if block_size < 65_536 || len < 65_536 {
        len as u16
    } else if len == block_size {
        65_535
    } else {
        (len & 65_532 | len >> 16 & 3) as u16
    }
}

/// Writes an entry at `offset`; false, and perhaps part of it written, when it
/// does not fit the block or its own length.
pub fn put_entry(
    block: &mut [u8],
    offset: usize,
    rec_len: usize,
    inode: u32,
    file_type: u8,
    name: &[u8],
) -> bool {
    let stored = encode_rec_len(rec_len, block.len());
    name.len() <= MAX_NAME
        && entry_size(name.len()) <= rec_len
        && offset.checked_add(rec_len).is_some_and(|end| end <= block.len())
        && le::put(block, offset, inode)
        && le::put(block, offset + 4, stored)
        && le::put(block, offset + 6, name.len() as u8)
        && le::put(block, offset + 7, file_type)
        && le::put_bytes(block, offset + ENTRY_HEADER, name)
}

/// True when the block ends with the fake entry of a checksum.
#[must_use]
pub fn has_tail(block: &[u8]) -> bool {
    let Some(at) = block.len().checked_sub(TAIL_SIZE) else { return false };
    le::get::<u32>(block, at) == Some(0)
        && le::get::<u16>(block, at + 4) == Some(TAIL_SIZE as u16)
        && le::get::<u8>(block, at + 6) == Some(0)
        && le::get::<u8>(block, at + 7) == Some(TAIL_TYPE)
}

/// Checks the checksum of a leaf block with the directory's inode seed.
///
/// # Errors
/// [`Error::Corrupt`] when it is wrong or missing.
pub fn check_tail(block: &[u8], inode_seed: u32) -> Result<()> {
    let at = block.len().saturating_sub(TAIL_SIZE);
    let covered = block.get(..at).unwrap_or_default();
    let stored: Option<u32> = le::get(block, at + 8);
    if has_tail(block) && stored == Some(crc32c(inode_seed, covered)) {
        return Ok(());
    }
    Err(Error::Corrupt { what: "directory block: its checksum is wrong".to_owned() })
}

/// Writes the fake entry and the checksum; the entries before it must end there.
pub fn put_tail(block: &mut [u8], inode_seed: u32) {
    let Some(at) = block.len().checked_sub(TAIL_SIZE) else { return };
    let sum = crc32c(inode_seed, block.get(..at).unwrap_or_default());
    put_tail_entry(block);
    le::put(block, at + 8, sum);
}

/// Writes the fake entry with whatever checksum is there.
pub(crate) fn put_tail_entry(block: &mut [u8]) {
    let Some(at) = block.len().checked_sub(TAIL_SIZE) else { return };
    le::put(block, at, 0u32);
    le::put(block, at + 4, TAIL_SIZE as u16);
    le::put(block, at + 6, 0u8);
    le::put(block, at + 7, TAIL_TYPE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_end_at_the_tail() {
        let mut block = vec![0; 1024];
        assert!(put_entry(&mut block, 0, 12, 2, 2, b"."));
        assert!(put_entry(&mut block, 12, 1000, 2, 2, b".."));
        put_tail(&mut block, 5);
        check_tail(&block, 5).unwrap();
        check_tail(&block, 6).unwrap_err();
        let found: Vec<_> = entries(&block, true, true).map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].name, b"..");
        assert!(!put_entry(&mut block, 1020, 12, 2, 2, b"x"));
    }

    #[test]
    fn names_are_possible_wherever_what_they_lack_would_stand() {
        for len in 1..40 {
            let mut name = vec![b'.'; len];
            assert!(is_possible(&name));
            for at in 0..len {
                for bad in [0, b'/'] {
                    let kept = std::mem::replace(&mut name[at], bad);
                    assert!(!is_possible(&name));
                    name[at] = kept;
                }
            }
        }
        assert!(!is_possible(b"") && is_possible(&[0x80, 0xff, 0x01, 0x30, 0xaf, 0x2e, 1, 0x81]));
    }

    #[test]
    fn a_damaged_entry_ends_the_list_with_one_error() {
        let mut block = vec![0; 1024];
        assert!(put_entry(&mut block, 0, 12, 2, 2, b"."));
        let found: Vec<_> = entries(&block, false, true).collect();
        assert_eq!(found.len(), 2);
        assert!(found[1].is_err());
    }

    #[test]
    fn a_name_is_found_as_by_looking_at_every_entry_in_damaged_blocks_too() {
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (random >> 33) as usize % below
        };
        let (mut found, mut damaged) = (0, 0);
        for round in 0..3000 {
            let size = if round % 10 == 0 { 65_536 } else { 1024 };
            let mut block = vec![0; size];
            let mut at = 0;
            while at < size {
                let name = [b'a' + next(3) as u8].repeat(1 + next(4));
                let len = entry_size(name.len()) + 4 * next(20) * (size / 1024);
                let len = if at + len + 12 > size { size - at } else { len };
                assert!(put_entry(&mut block, at, len, next(3) as u32, 1, &name));
                at += len;
            }
            for _ in 0..next(3) {
                let bytes = if size > 1024 { size } else { 200 };
                block[next(bytes)] = next(256) as u8;
            }
            for name in [&b"a"[..], b"bb", b"ccc", b"dddd"] {
                let slow = records(&block, false, true).find(|entry| {
                    entry.as_ref().map_or(true, |entry| entry.inode != 0 && entry.name == name)
                });
                let quick = records(&block, false, true).named(name);
                assert_eq!(format!("{quick:?}"), format!("{slow:?}"), "round {round}");
                found += u32::from(matches!(quick, Some(Ok(_))));
                damaged += u32::from(matches!(quick, Some(Err(_))));
            }
        }
        assert!(found > 1000 && damaged > 300, "{found} {damaged}");
    }

    #[test]
    fn lengths_of_the_largest_blocks_survive() {
        for len in [12, 65_532, 65_536] {
            assert_eq!(decode_rec_len(encode_rec_len(len, 65_536), 65_536), len);
        }
    }
}
