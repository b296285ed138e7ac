//! Extended attributes, behind an inode's fields and in a block of their own.

use super::checksum::{Checksums, crc32c};
use super::xattr_hash::{block_hash, entry_hash};
use crate::le;
use crate::{Error, Result};

/// `h_magic`.
pub const XATTR_MAGIC: u32 = 0xea02_0000;
/// Bytes of a block's header.
const BLOCK_HEADER: usize = 32;
/// Bytes of the header behind an inode's fields: the magic alone.
const INODE_HEADER: usize = 4;
/// Bytes of an entry before its name.
const ENTRY_HEADER: usize = 16;
/// Bytes that end the list of entries.
const LIST_END: usize = 4;

/// The prefixes that `e_name_index` stands for; index 0 is the whole name.
const PREFIXES: &[(u8, &[u8])] = &[
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
    (7, b"system."),
    (8, b"system.richacl"),
];
/// `e_name_index` of `system.`: inline data keeps its second part there.
pub const INDEX_SYSTEM: u8 = 7;

/// One attribute as it lies on disk: ACLs in ext4's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// `e_name_index`: which prefix.
    pub name_index: u8,
    /// The name without the prefix.
    pub name: Vec<u8>,
    /// The value; `None` lies in an inode of its own (`e_value_inum`).
    pub value: Option<Vec<u8>>,
    /// `e_value_inum`, 0 for a value that lies here.
    pub value_inum: u32,
    /// `e_hash` as read; made anew on writing to a block.
    pub hash: u32,
}

impl Xattr {
    /// An attribute from the full name that callers use, such as `user.origin`.
    /// None for a name with no prefix that ext4 knows.
    #[must_use]
    pub fn from_full_name(name: &[u8], value: Vec<u8>) -> Option<Self> {
        let (index, prefix) =
            PREFIXES
                .iter()
                .filter(|(_, prefix)| {
                    if prefix.ends_with(b".") { name.starts_with(prefix) } else { name == *prefix }
                })
                .max_by_key(|(_, prefix)| prefix.len())?;
        let rest = name.strip_prefix(*prefix)?;
        if rest.len() > 255 || rest.is_empty() == prefix.ends_with(b".") {
            return None;
        }
        Some(Self {
            name_index: *index,
            name: rest.to_vec(),
            value: Some(value),
            value_inum: 0,
            hash: 0,
        })
    }

    /// The name with its prefix.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an index that no prefix has.
    pub fn full_name(&self) -> Result<Vec<u8>> {
        if self.name_index == 0 {
            return Ok(self.name.clone());
        }
        PREFIXES
            .iter()
            .find(|(index, _)| *index == self.name_index)
            .map(|(_, prefix)| [prefix, self.name.as_slice()].concat())
            .ok_or_else(|| corrupt("its name has an unknown prefix"))
    }

    fn entry_len(&self) -> usize {
        (ENTRY_HEADER + self.name.len()).next_multiple_of(4)
    }

    fn value_len(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len().next_multiple_of(4))
    }

    /// The order of entries in a block: index, length of the name, name.
    fn order(&self) -> (u8, usize, &[u8]) {
        (self.name_index, self.name.len(), &self.name)
    }
}

/// A block of attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XattrBlock {
    /// `h_refcount`: inodes that share it.
    pub refcount: u32,
    /// What it holds.
    pub attributes: Vec<Xattr>,
}

/// The attributes in the space behind an inode's fields; none without the magic.
///
/// # Errors
/// [`Error::Corrupt`] for entries that leave the space or overlap the list.
pub fn parse_inode_space(space: &[u8]) -> Result<Vec<Xattr>> {
    if le::get::<u32>(space, 0) != Some(XATTR_MAGIC) {
        return Ok(Vec::new());
    }
    // Offsets of values count from the first entry.
    parse_list(space.get(INODE_HEADER..).unwrap_or_default(), 0)
}

/// Bytes that the attributes need behind an inode's fields.
#[must_use]
pub fn inode_space_needed(attributes: &[Xattr]) -> usize {
    if attributes.is_empty() { 0 } else { INODE_HEADER + list_len(attributes) }
}

/// Writes attributes behind an inode's fields, all of the space.
///
/// # Errors
/// [`Error::TooLarge`] when they do not fit.
pub fn encode_inode_space(space: &mut [u8], attributes: &[Xattr]) -> Result<()> {
    if inode_space_needed(attributes) > space.len() {
        return Err(too_large(space.len()));
    }
    space.fill(0);
    if !attributes.is_empty() {
        le::put(space, 0, XATTR_MAGIC);
        // The kernel writes no hashes here and does not look at them.
        write_list(space.get_mut(INODE_HEADER..).unwrap_or_default(), 0, attributes, false);
    }
    Ok(())
}

impl XattrBlock {
    /// Reads a block; `number` is its own, which the checksum binds.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a wrong header or checksum, or impossible entries.
    pub fn parse(block: &[u8], number: u64, checksums: &Checksums) -> Result<Self> {
        let blocks: u32 = le::get_or_zero(block, 8);
        if le::get::<u32>(block, 0) != Some(XATTR_MAGIC) || blocks != 1 {
            return Err(corrupt("the block's header is wrong"));
        }
        let stored: Option<u32> = le::get(block, 16);
        if checksums.metadata && stored != Some(checksum(block, number, checksums)) {
            return Err(corrupt("the block's checksum is wrong"));
        }
        Ok(Self {
            refcount: le::get_or_zero(block, 4),
            attributes: parse_list(block, BLOCK_HEADER)?,
        })
    }

    /// True when the checksum is right, or there are none; `number` is the block's own.
    #[must_use]
    pub fn is_summed_right(block: &[u8], number: u64, checksums: &Checksums) -> bool {
        !checksums.metadata || le::get(block, 16) == Some(checksum(block, number, checksums))
    }

    /// True when the attributes fit a block.
    #[must_use]
    pub fn fits(attributes: &[Xattr], block_size: u32) -> bool {
        BLOCK_HEADER + list_len(attributes) <= block_size as usize
    }

    /// Writes a whole block: entries in order, hashes and checksum made anew.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they do not fit.
    pub fn encode_into(&self, block: &mut [u8], number: u64, checksums: &Checksums) -> Result<()> {
        if !Self::fits(&self.attributes, block.len() as u32) {
            return Err(too_large(block.len()));
        }
        block.fill(0);
        let mut sorted = self.attributes.clone();
        sorted.sort_by(|a, b| a.order().cmp(&b.order()));
        le::put(block, 0, XATTR_MAGIC);
        le::put(block, 4, self.refcount);
        le::put(block, 8, 1u32);
        let hashes = write_list(block, BLOCK_HEADER, &sorted, true);
        le::put(block, 12, block_hash(hashes));
        if checksums.metadata {
            let sum = checksum(block, number, checksums);
            le::put(block, 16, sum);
        }
        Ok(())
    }
}

fn checksum(block: &[u8], number: u64, checksums: &Checksums) -> u32 {
    let seed = crc32c(checksums.seed, &number.to_le_bytes());
    let before = crc32c(seed, block.get(..16).unwrap_or_default());
    crc32c(crc32c(before, &[0; 4]), block.get(20..).unwrap_or_default())
}

fn list_len(attributes: &[Xattr]) -> usize {
    attributes.iter().map(|a| a.entry_len() + a.value_len()).sum::<usize>() + LIST_END
}

/// Entries from `start` on; offsets of values count from the start of `bytes`.
fn parse_list(bytes: &[u8], start: usize) -> Result<Vec<Xattr>> {
    let mut found: Vec<Xattr> = Vec::new();
    let mut values = Vec::new();
    let mut at = start;
    loop {
        match le::get::<u32>(bytes, at) {
            None => return Err(corrupt("the list of entries leaves its space")),
            Some(0) => break,
            Some(_) => {}
        }
        let name_len: u8 = le::get_or_zero(bytes, at);
        let end = at + ENTRY_HEADER + usize::from(name_len);
        let name = bytes.get(at + ENTRY_HEADER..end).map(<[u8]>::to_vec);
        let value_inum: u32 = le::get_or_zero(bytes, at + 4);
        let size: u32 = le::get_or_zero(bytes, at + 8);
        let offset: u16 = le::get_or_zero(bytes, at + 2);
        let value = if value_inum == 0 && size > 0 {
            let from = usize::from(offset);
            values.push(from);
            let value = from.checked_add(size as usize).and_then(|to| bytes.get(from..to));
            Some(value.ok_or_else(|| corrupt("its value leaves its space"))?.to_vec())
        } else {
            (value_inum == 0).then(Vec::new)
        };
        found.push(Xattr {
            name_index: le::get_or_zero(bytes, at + 1),
            name: name.ok_or_else(|| corrupt("its name leaves its space"))?,
            value,
            value_inum,
            hash: le::get_or_zero(bytes, at + 12),
        });
        at = end.next_multiple_of(4);
    }
    if values.iter().any(|from| *from < at + LIST_END) {
        return Err(corrupt("a value overlaps the list of entries"));
    }
    Ok(found)
}

/// Entries from `start` upwards, values from the end downwards; the hashes back.
fn write_list(bytes: &mut [u8], start: usize, attributes: &[Xattr], hashed: bool) -> Vec<u32> {
    let mut at = start;
    let mut free_to = bytes.len() & !3;
    let mut hashes = Vec::new();
    for attribute in attributes {
        let value = attribute.value.as_deref().unwrap_or_default();
        let hash = match (&attribute.value, hashed) {
            (Some(value), true) => entry_hash(&attribute.name, value),
            // The hash of a value in an inode covers that inode: keep it.
            (None, _) => attribute.hash,
            (Some(_), false) => 0,
        };
        hashes.push(hash);
        free_to = free_to.saturating_sub(attribute.value_len());
        let offset = if value.is_empty() { 0 } else { free_to as u16 };
        le::put(bytes, at, attribute.name.len() as u8);
        le::put(bytes, at + 1, attribute.name_index);
        le::put(bytes, at + 2, offset);
        le::put(bytes, at + 4, attribute.value_inum);
        le::put(bytes, at + 8, value.len() as u32);
        le::put(bytes, at + 12, hash);
        le::put_bytes(bytes, at + ENTRY_HEADER, &attribute.name);
        le::put_bytes(bytes, free_to, value);
        at += attribute.entry_len();
    }
    hashes
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge { what: "the extended attributes".to_owned(), limit: limit as u64 }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("extended attribute: {what}") }
}

#[cfg(test)]
mod tests {
    use super::super::checksum::GroupChecksum;
    use super::*;

    fn three() -> Vec<Xattr> {
        [("user.origin", "abcde"), ("security.capability", "x"), ("user.a", "")]
            .iter()
            .filter_map(|(name, value)| {
                Xattr::from_full_name(name.as_bytes(), value.as_bytes().to_vec())
            })
            .collect()
    }

    #[test]
    fn attributes_come_back_from_a_block_in_order() {
        let checksums = Checksums { seed: 3, metadata: true, group: GroupChecksum::Crc32c };
        let mut block = vec![7; 1024];
        let written = XattrBlock { refcount: 1, attributes: three() };
        written.encode_into(&mut block, 99, &checksums).unwrap();
        let read = XattrBlock::parse(&block, 99, &checksums).unwrap();
        let names: Vec<_> = read.attributes.iter().map(|a| a.full_name().unwrap()).collect();
        assert_eq!(names, [&b"user.a"[..], b"user.origin", b"security.capability"]);
        assert_eq!(read.attributes[1].value.as_deref(), Some(&b"abcde"[..]));
        assert!(XattrBlock::parse(&block, 98, &checksums).is_err());
    }

    #[test]
    fn attributes_come_back_from_an_inode_and_too_many_are_refused() {
        let mut space = vec![7; 96];
        encode_inode_space(&mut space, &three()).unwrap();
        let read = parse_inode_space(&space).unwrap();
        assert_eq!(read.len(), 3);
        assert!(encode_inode_space(&mut [0; 20], &three()).is_err());
        assert_eq!(parse_inode_space(&[0; 20]).unwrap(), []);
    }

    #[test]
    fn only_names_with_a_known_prefix_are_taken() {
        assert!(Xattr::from_full_name(b"nonsense", Vec::new()).is_none());
        assert!(Xattr::from_full_name(b"user.", Vec::new()).is_none());
        let acl = Xattr::from_full_name(b"system.posix_acl_access", Vec::new()).unwrap();
        assert_eq!((acl.name_index, acl.name.len()), (2, 0));
    }
}
