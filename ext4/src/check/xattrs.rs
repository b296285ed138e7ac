//! Extended attributes: behind an inode's fields, and in blocks that inodes may share.

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::features::{Compat, Incompat};
use crate::layout::inode::Inode;
use crate::layout::xattr::{XATTR_MAGIC, XattrBlock};
use crate::layout::xattr_hash::{block_hash, entry_hash};
use crate::{Result, le};

/// Bytes of a block before its entries.
const BLOCK_HEADER: usize = 32;
/// Bytes of an entry before its name.
const ENTRY_HEADER: usize = 16;
/// The highest `e_name_index` that means something.
const LAST_INDEX: u8 = 8;

/// One entry, as it lies there.
struct Entry<'a> {
    index: u8,
    name: &'a [u8],
    value: &'a [u8],
    value_inum: u32,
    hash: u32,
}

impl Checker<'_> {
    /// It has a block of attributes, as far as the superblock tells.
    pub(super) fn has_attribute_block(&self, inode: &Inode) -> bool {
        let known = self.fs.superblock().features().compat.has(Compat::EXT_ATTR);
        known && self.fs.geometry().is_data_block(inode.file_acl())
    }

    pub(super) fn inode_xattrs(&mut self, ino: u32, inode: &Inode) -> Result<()> {
        let object = Object::Inode(ino);
        let space = inode.extra_space();
        if le::get::<u32>(space, 0) == Some(XATTR_MAGIC) {
            let list = space.get(4..).unwrap_or_default();
            self.entries(&object, list, 0, true);
        }
        let number = inode.file_acl();
        if number == 0 {
            return Ok(());
        }
        if !self.fs.superblock().features().compat.has(Compat::EXT_ATTR) {
            let what = "i_file_acl, without the feature `ext_attr`,";
            self.findings.tell(Kind::XattrSpace, object.clone(), what, number, 0);
        }
        if let Some(shared) = self.shared.get_mut(&number) {
            shared.users += 1;
            return Ok(());
        }
        if !self.claim(&object, "its block of attributes", number, 1) {
            return Ok(());
        }
        let block = self.fs.block(number)?;
        let object = Object::Block(number);
        let says = le::get_or_zero(&block, 4);
        self.shared.insert(number, super::checker::Shared { users: 1, says });
        let magic = le::get::<u32>(&block, 0) == Some(XATTR_MAGIC);
        if !magic || le::get::<u32>(&block, 8) != Some(1) {
            let what = "the header of a block of attributes";
            self.findings.tell(Kind::XattrSpace, object, what, "wrong", "");
            return Ok(());
        }
        if !XattrBlock::is_summed_right(&block, number, self.fs.checksums()) {
            let what = "the checksum of a block of attributes";
            self.findings.tell(Kind::XattrChecksum, object.clone(), what, "wrong", "");
        }
        self.entries(&object, &block, BLOCK_HEADER, false);
        Ok(())
    }

    /// A list of entries from `start` on; offsets of values count from the start of `bytes`.
    fn entries(&mut self, object: &Object, bytes: &[u8], start: usize, in_inode: bool) {
        let mut at = start;
        let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
        let mut hashes = Vec::new();
        let mut before: Option<(u8, usize, Vec<u8>)> = None;
        loop {
            match le::get::<u32>(bytes, at) {
                Some(0) => break,
                None => {
                    let what = "the end of its attributes";
                    self.findings.tell(Kind::XattrSpace, object.clone(), what, "missing", "");
                    return;
                }
                Some(_) => {}
            }
            let Some(entry) = entry(bytes, at, &mut taken) else {
                let what = "an attribute's name or value";
                self.findings.tell(Kind::XattrEntry, object.clone(), what, "outside", "inside");
                return;
            };
            at = (at + ENTRY_HEADER + entry.name.len()).next_multiple_of(4);
            self.entry(object, &entry, in_inode);
            hashes.push(entry.hash);
            let order = (entry.index, entry.name.len(), entry.name.to_vec());
            if !in_inode && before.as_ref().is_some_and(|before| *before >= order) {
                let what = "the order of its attributes";
                self.findings.tell(Kind::XattrEntry, object.clone(), what, "wrong", "ascending");
            }
            before = Some(order);
        }
        taken.push(0..at + 4);
        taken.retain(|range| !range.is_empty());
        taken.sort_by_key(|range| range.start);
        if taken.iter().zip(taken.iter().skip(1)).any(|(a, b)| a.end > b.start) {
            let what = "an attribute's value";
            self.findings.tell(Kind::XattrEntry, object.clone(), what, "over another part", "");
        }
        let hash: u32 = if in_inode { 0 } else { le::get_or_zero(bytes, 12) };
        let right = block_hash(hashes);
        // Zero says that the block must not be shared, whatever the hash would be.
        if !in_inode && hash != right && hash != 0 {
            let what = "the hash of a block of attributes";
            self.findings.tell(Kind::XattrHash, object.clone(), what, hash, right);
        }
    }

    fn entry(&mut self, object: &Object, entry: &Entry<'_>, in_inode: bool) {
        if entry.index == 0 || entry.index > LAST_INDEX {
            let what = "e_name_index of an attribute";
            self.findings.tell(Kind::XattrEntry, object.clone(), what, entry.index, "");
        }
        if entry.value_inum != 0 {
            let known = self.fs.superblock().features().incompat.has(Incompat::EA_INODE);
            if !known || entry.value_inum > self.fs.geometry().inodes_count {
                let what = "e_value_inum of an attribute";
                self.findings.tell(Kind::XattrEntry, object.clone(), what, entry.value_inum, 0);
            } else {
                *self.values.entry(entry.value_inum).or_default() += 1;
            }
            return;
        }
        // In inodes, older systems wrote no hash.
        if in_inode && entry.hash == 0 {
            return;
        }
        let right = entry_hash(entry.name, entry.value);
        if entry.hash != right && entry.hash != signed_hash(entry.name, entry.value) {
            let what = "e_hash of an attribute";
            self.findings.tell(Kind::XattrHash, object.clone(), what, entry.hash, right);
        }
    }
}

/// The entry at `at`; none when it leaves the space. Notes where its value lies.
fn entry<'a>(
    bytes: &'a [u8],
    at: usize,
    taken: &mut Vec<std::ops::Range<usize>>,
) -> Option<Entry<'a>> {
    let name_len: u8 = le::get(bytes, at)?;
    let offset = usize::from(le::get::<u16>(bytes, at + 2)?);
    let value_inum: u32 = le::get(bytes, at + 4)?;
    let size: u32 = le::get(bytes, at + 8)?;
    let hash: u32 = le::get(bytes, at + 12)?;
    let name = bytes.get(at + ENTRY_HEADER..at + ENTRY_HEADER + usize::from(name_len))?;
    let value = if value_inum == 0 && size > 0 {
        let end = offset.checked_add(size as usize)?;
        // Values are filled up to words, which the kernel holds to be theirs, too.
        let filled = offset.checked_add((size as usize).checked_next_multiple_of(4)?)?;
        taken.push(offset..filled);
        bytes.get(offset..filled)?;
        bytes.get(offset..end)?
    } else {
        // Nothing, which still has a place.
        bytes.get(if value_inum == 0 { offset } else { 0 }..)?;
        &[]
    };
    Some(Entry { index: le::get(bytes, at + 1)?, name, value, value_inum, hash })
}

/// The hash as it was once made: characters of names with a sign.
fn signed_hash(name: &[u8], value: &[u8]) -> u32 {
    let with = name.iter().fold(0_u32, |hash, character| {
        hash.rotate_left(5) ^ i32::from(character.cast_signed()).cast_unsigned()
    });
    let without = name.iter().fold(0_u32, |hash, c| hash.rotate_left(5) ^ u32::from(*c));
    // The name's part goes through the words of the value as it is, but for its turns.
    let words = value.len().div_ceil(4) as u32;
    entry_hash(name, value) ^ (with ^ without).rotate_left(16_u32.wrapping_mul(words) % 32)
}
