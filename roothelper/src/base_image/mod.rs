//! The owner's base image: a descriptor that a loop device may be made over.
//!
//! It is a user's, and what the kernel would do with it is done as root: a regular file is not
//! enough (the kernel takes a loop over a file of procfs, whose content it makes up on reading).
//! What it holds can change at any time, and is nobody's promise; what it *is* cannot, while
//! the descriptor is held.

mod facts;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use banger_proto::{Code, Refusal};
use rustix::fs::{FileType, OFlags};

use crate::kernel::Received;
use crate::{LimitExceeded, Limits, OwnerUid};
use facts::Facts;

/// Filesystems that a base image may lie on: local ones, which answer out of this kernel, and
/// which keep an owner and links for each file. What a user's process or another computer
/// answers for (FUSE, network) can keep root waiting; what lies over other filesystems
/// (overlayfs, eCryptfs) can be changed below it; what keeps no owners (FAT) says of every file
/// that it is the same user's; and what the kernel makes up (procfs, sysfs) is no image.
const FILESYSTEMS: [(u64, &str); 7] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0xf2f5_2010, "f2fs"),
    (0xca45_1a4e, "bcachefs"),
    (0x2fc1_2fc1, "zfs"),
    // A home or a folder of images in memory is local, too. A memfd has no name there.
    (0x0102_1994, "tmpfs"),
];
/// Bytes that a base image has at least: no guest's system is smaller, and a file that is empty
/// or was cut off is told before a device is made of it.
const SMALLEST: u64 = 1 << 20;
/// Bytes that a loop device counts in: what is behind the last whole ones, it leaves out.
const SECTOR: u64 = 512;

/// A base image: looked at, and held open.
#[derive(Debug)]
pub struct BaseImage {
    // Private, and set below alone: whoever has one has had it looked at.
    descriptor: Received,
    size: u64,
}

/// Why a descriptor is no base image.
#[derive(Debug, thiserror::Error)]
pub enum NotABaseImage {
    /// `O_PATH`.
    #[error("the base image's descriptor is only a name (O_PATH): it cannot be read")]
    OnlyAName,
    /// Another access mode than `O_RDONLY`.
    #[error("the base image is open for writing")]
    Writable,
    /// Not a regular file.
    #[error("the base image is {0}, not a regular file")]
    Kind(&'static str),
    /// A filesystem that is not in the list, by its number.
    #[error("the base image is on a filesystem of type {0:#x}, which base images may not be on")]
    Filesystem(u64),
    /// Somebody else's.
    #[error("the base image belongs to uid {0}, neither to you nor to root")]
    Owner(u32),
    /// Deleted, or never named: a memfd.
    #[error("the base image has no name in any folder")]
    Nameless,
    /// Hard links.
    #[error("the base image has {0} names in folders, not one")]
    Names(u32),
    /// Empty, or too small to be one.
    #[error("the base image has {0} bytes: a base image has at least 1 MiB")]
    TooSmall(u64),
    /// Not in whole sectors.
    #[error("the base image has {0} bytes: a base image has whole sectors of 512")]
    Ragged(u64),
    /// No overlay file could be made for it: that is never smaller.
    #[error("the base image has {0} bytes: no overlay of it would be within the quota")]
    TooLarge(u64, #[source] LimitExceeded),
    /// The kernel refuses to tell what it is.
    #[error("the kernel does not tell what the base image is")]
    Unknown(#[source] io::Error),
    /// Its filesystem does not answer.
    #[error("the filesystem of the base image does not answer")]
    Silent,
}

impl BaseImage {
    /// Looks at a descriptor that this owner sent. It may block for as long as the filesystem
    /// behind it likes.
    ///
    /// # Errors
    /// When it is none, with the reason.
    pub fn of(
        descriptor: impl Into<Received>,
        owner: OwnerUid,
        limits: &Limits,
    ) -> Result<Self, NotABaseImage> {
        let descriptor = descriptor.into();
        let facts = facts::look(descriptor.as_fd()).map_err(NotABaseImage::Unknown)?;
        let size = judge(&facts, owner, limits)?;
        Ok(Self { descriptor, size })
    }

    /// Its length in bytes when it was looked at: whole sectors.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

impl AsFd for BaseImage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The size of the base image that has these facts.
fn judge(facts: &Facts, owner: OwnerUid, limits: &Limits) -> Result<u64, NotABaseImage> {
    if facts.flags.contains(OFlags::PATH) {
        return Err(NotABaseImage::OnlyAName);
    }
    // Reading is 0; the fourth mode, of neither, is for ioctl() alone.
    if facts.flags.intersects(OFlags::RWMODE) {
        return Err(NotABaseImage::Writable);
    }
    if facts.kind != FileType::RegularFile {
        return Err(NotABaseImage::Kind(word(facts.kind)));
    }
    if !FILESYSTEMS.iter().any(|(number, _)| *number == facts.filesystem) {
        return Err(NotABaseImage::Filesystem(facts.filesystem));
    }
    if facts.uid != 0 && facts.uid != owner.get() {
        return Err(NotABaseImage::Owner(facts.uid));
    }
    match facts.links {
        0 => return Err(NotABaseImage::Nameless),
        1 => {}
        links => return Err(NotABaseImage::Names(links)),
    }
    let size = facts.size;
    if size < SMALLEST {
        return Err(NotABaseImage::TooSmall(size));
    }
    if !size.is_multiple_of(SECTOR) {
        return Err(NotABaseImage::Ragged(size));
    }
    limits.check_overlay(0, size).map_err(|over| NotABaseImage::TooLarge(size, over))?;
    Ok(size)
}

const fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symlink",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "an object of the kernel",
    }
}

impl NotABaseImage {
    /// One word for the log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::OnlyAName => "base-image-not-opened",
            Self::Writable => "base-image-writable",
            Self::Kind(_) => "base-image-no-file",
            Self::Filesystem(_) => "base-image-filesystem",
            Self::Owner(_) => "base-image-owner",
            Self::Nameless | Self::Names(_) => "base-image-links",
            Self::TooSmall(_) | Self::Ragged(_) | Self::TooLarge(..) => "base-image-size",
            Self::Unknown(_) => "base-image-unknown",
            Self::Silent => "base-image-silent",
        }
    }

    /// What the caller is told, with what helps.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        // How it was sent is the message's own fault; how it lies there is to be changed first.
        let (code, hint) = match self {
            Self::OnlyAName | Self::Writable => {
                (Code::InvalidArgument, "open it with O_RDONLY and nothing else".to_owned())
            }
            Self::Kind(_) => (Code::InvalidArgument, "send the image's file itself".to_owned()),
            Self::Filesystem(_) | Self::Unknown(_) | Self::Silent => {
                let names = FILESYSTEMS.map(|(_, name)| name).join(", ");
                (
                    Code::FailedPrecondition,
                    format!("copy it to a local disk; one of {names} will do"),
                )
            }
            Self::Owner(_) => {
                (Code::FailedPrecondition, "make a copy of your own with cp".to_owned())
            }
            Self::Nameless | Self::Names(_) => (
                Code::FailedPrecondition,
                "copy it with cp, which gives the copy one name of its own".to_owned(),
            ),
            Self::TooSmall(_) => {
                (Code::FailedPrecondition, "is it whole? import the image anew".to_owned())
            }
            Self::Ragged(_) => {
                (Code::FailedPrecondition, "truncate --size=%512 rounds its size up".to_owned())
            }
            Self::TooLarge(..) => (
                Code::ResourceExhausted,
                "an administrator can raise `overlays` under [quota]: sudoedit /etc/banger/roothelper.toml"
                    .to_owned(),
            ),
        };
        Refusal::from_error(code, self).hint(hint)
    }
}

#[cfg(test)]
mod tests;
