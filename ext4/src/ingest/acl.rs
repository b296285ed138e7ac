//! Access control lists: the system calls and the disk write them differently.
//!
//! The system calls give version 2 and entries of 8 bytes; the disk has version 1,
//! and only named users and groups carry their number.

use crate::{Error, Result};

const SYSTEM_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;
/// `ACL_USER` and `ACL_GROUP`, the tags that carry a number.
const NAMED: [u16; 2] = [0x02, 0x08];
/// `ACL_UNDEFINED_ID`.
const NOBODY: u32 = u32::MAX;

fn damaged() -> Error {
    Error::Source { what: "an access control list: it is damaged".to_owned(), source: None }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// From the form of the system calls to that of the disk.
///
/// # Errors
/// [`Error::Source`] when it is not a list.
pub fn acl_to_disk(value: &[u8]) -> Result<Vec<u8>> {
    if u32_at(value, 0) != Some(SYSTEM_VERSION) || value.len() % 8 != 4 {
        return Err(damaged());
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in value.get(4..).unwrap_or_default().chunks_exact(8) {
        let tag = u16_at(entry, 0).ok_or_else(damaged)?;
        let len = if NAMED.contains(&tag) { 8 } else { 4 };
        disk.extend_from_slice(entry.get(..len).ok_or_else(damaged)?);
    }
    Ok(disk)
}

/// From the form of the disk to that of the system calls.
///
/// # Errors
/// [`Error::Source`] when it is not a list.
pub fn acl_from_disk(value: &[u8]) -> Result<Vec<u8>> {
    if u32_at(value, 0) != Some(DISK_VERSION) {
        return Err(damaged());
    }
    let mut system = SYSTEM_VERSION.to_le_bytes().to_vec();
    let mut rest = value.get(4..).unwrap_or_default();
    while !rest.is_empty() {
        let tag = u16_at(rest, 0).ok_or_else(damaged)?;
        let named = NAMED.contains(&tag);
        let len = if named { 8 } else { 4 };
        system.extend_from_slice(rest.get(..len).ok_or_else(damaged)?);
        if !named {
            system.extend_from_slice(&NOBODY.to_le_bytes());
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `u::rw-,u:1000:r--,g::r--,m::r--,o::---` as getxattr gives it.
    const LIST: &[u8] = b"\x02\0\0\0\
        \x01\0\x06\0\xff\xff\xff\xff\
        \x02\0\x04\0\xe8\x03\0\0\
        \x04\0\x04\0\xff\xff\xff\xff\
        \x10\0\x04\0\xff\xff\xff\xff\
        \x20\0\0\0\xff\xff\xff\xff";

    #[test]
    fn a_list_goes_to_disk_and_back() {
        let disk = acl_to_disk(LIST).unwrap();
        assert_eq!(disk.len(), 4 + 4 * 4 + 8);
        assert_eq!(acl_from_disk(&disk).unwrap(), LIST);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in [&b""[..], b"\x01\0\0\0", b"\x02\0\0\0\x01\0", b"\x03\0\0\0"] {
            assert!(acl_to_disk(bad).is_err(), "{bad:?}");
        }
        for bad in [&b""[..], b"\x02\0\0\0", b"\x01\0\0\0\x02\0\x04\0", b"\x01\0\0\0\x01"] {
            assert!(acl_from_disk(bad).is_err(), "{bad:?}");
        }
    }
}
