//! Data that lies in its inode: 60 bytes in `i_block`, more in the attribute `system.data`.
//!
//! The attribute is there even when it is empty: the kernel finds the data by it.

use super::inode::{FLAG_INLINE_DATA, Inode};
use super::xattr::{INDEX_SYSTEM, Xattr, encode_inode_space, parse_inode_space};
use crate::{Error, Result};

/// Bytes in `i_block`.
pub const IN_BLOCK: usize = 60;
/// Bytes of a directory's parent, which come before its entries.
pub const PARENT: usize = 4;

/// True for the attribute that is data, and none that callers would see.
#[must_use]
pub fn is_data(attribute: &Xattr) -> bool {
    attribute.name_index == INDEX_SYSTEM && attribute.name == b"data"
}

/// All data, at least [`IN_BLOCK`] bytes; the size in the inode says how much of it counts.
///
/// # Errors
/// [`Error::Corrupt`] when the attributes cannot be read.
pub fn read(inode: &Inode) -> Result<Vec<u8>> {
    let mut bytes = inode.i_block().to_vec();
    let attributes = parse_inode_space(inode.extra_space())?;
    if let Some(more) = attributes.into_iter().find(is_data) {
        bytes.extend(more.value.unwrap_or_default());
    }
    Ok(bytes)
}

/// Puts the data into the inode, in the place of what is there. Other attributes stay.
///
/// # Errors
/// [`Error::TooLarge`] when it does not fit.
pub fn write(inode: &mut Inode, bytes: &[u8]) -> Result<()> {
    let (first, more) = bytes.split_at(bytes.len().min(IN_BLOCK));
    let mut block = [0; IN_BLOCK];
    crate::le::put_bytes(&mut block, 0, first);
    let mut attributes = parse_inode_space(inode.extra_space())?;
    match attributes.iter_mut().find(|attribute| is_data(attribute)) {
        Some(data) => data.value = Some(more.to_vec()),
        None => attributes.insert(0, attribute(more)),
    }
    encode_inode_space(inode.extra_space_mut(), &attributes)?;
    inode.set_i_block(&block);
    inode.set_i_flags(inode.i_flags() | FLAG_INLINE_DATA);
    Ok(())
}

/// Takes the data out of the inode, so that it can be mapped. Other attributes stay.
///
/// # Errors
/// [`Error::Corrupt`] when the attributes cannot be read.
pub fn remove(inode: &mut Inode) -> Result<()> {
    let mut attributes = parse_inode_space(inode.extra_space())?;
    attributes.retain(|attribute| !is_data(attribute));
    encode_inode_space(inode.extra_space_mut(), &attributes)?;
    inode.set_i_block(&[0; IN_BLOCK]);
    inode.set_i_flags(inode.i_flags() & !FLAG_INLINE_DATA);
    Ok(())
}

/// The attribute that holds what `i_block` has no room for.
fn attribute(value: &[u8]) -> Xattr {
    let name = b"data".to_vec();
    Xattr { name_index: INDEX_SYSTEM, name, value: Some(value.to_vec()), value_inum: 0, hash: 0 }
}

/// An error for an inode whose data is not all there.
#[must_use]
pub fn cut_short(ino: u32) -> Error {
    Error::Corrupt { what: format!("inode {ino}: part of the data inside it is missing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_comes_back_and_other_attributes_stay() {
        let mut inode = Inode::blank(256);
        let note = Xattr::from_full_name(b"user.note", b"value".to_vec()).unwrap();
        encode_inode_space(inode.extra_space_mut(), std::slice::from_ref(&note)).unwrap();
        for len in [60, 61, 84] {
            let data: Vec<u8> = (1..=len).collect();
            write(&mut inode, &data).unwrap();
            assert_eq!(read(&inode).unwrap(), data);
            assert!(inode.has_flag(FLAG_INLINE_DATA));
            let kept = parse_inode_space(inode.extra_space()).unwrap();
            assert_eq!(kept.len(), 2);
            assert!(kept.iter().any(|a| a.name == note.name && a.value == note.value));
        }
        let before = inode.clone();
        assert!(write(&mut inode, &[1; 130]).is_err());
        assert_eq!(inode, before);
        remove(&mut inode).unwrap();
        assert!(!inode.has_flag(FLAG_INLINE_DATA));
        assert_eq!(parse_inode_space(inode.extra_space()).unwrap().len(), 1);
        assert_eq!(inode.i_block(), [0; 60]);
    }
}
