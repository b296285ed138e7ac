//! What the kernel says of a descriptor.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, fstatfs, statx};

/// What is to be known of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// How it was opened.
    pub flags: OFlags,
    /// What it is.
    pub kind: FileType,
    /// Which filesystem it is on, by its number.
    pub filesystem: u64,
    /// Whose it is.
    pub uid: u32,
    /// How many names it has.
    pub links: u32,
    /// Its length in bytes.
    pub size: u64,
}

/// Looks at a descriptor. Only `fstatfs` may wait for whoever serves the filesystem: `statx`
/// takes what the kernel knows, which of a local filesystem is the truth.
pub(super) fn look(descriptor: BorrowedFd<'_>) -> io::Result<Facts> {
    let flags = fcntl_getfl(descriptor)?;
    let known = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let file = statx(descriptor, "", known, StatxFlags::BASIC_STATS)?;
    let filesystem = fstatfs(descriptor)?.f_type as u64 & u64::from(u32::MAX);
    Ok(Facts {
        flags,
        kind: FileType::from_raw_mode(file.stx_mode.into()),
        filesystem,
        uid: file.stx_uid,
        links: file.stx_nlink,
        size: file.stx_size,
    })
}
