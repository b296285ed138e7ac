//! What is known of an entry without reading its data.

use super::{Filesystem, ImagePath};
use crate::layout::inode::{FileKind, Inode};
use crate::{Error, Result, Timestamp};

/// An inode's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The inode's number.
    pub ino: u32,
    /// Its type.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky (`0o7777`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Number of names. (1 for a directory with more than 65,000 subdirectories.)
    pub nlink: u16,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the data.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Major and minor number of a device; zero for everything else.
    pub rdev: (u32, u32),
    /// Bytes of storage, tree blocks and attribute block included.
    pub allocated: u64,
}

impl Filesystem {
    /// The attributes of what `path` leads to, a symbolic link in the last
    /// place followed.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] for a parent that is no
    /// directory, and what reading meets.
    pub fn stat(&self, path: &ImagePath) -> Result<Stat> {
        self.stat_ino(self.resolve(path, true)?)
    }

    /// The attributes of `path` itself, even when it is a symbolic link.
    ///
    /// # Errors
    /// As [`Self::stat`].
    pub fn lstat(&self, path: &ImagePath) -> Result<Stat> {
        self.stat_ino(self.resolve(path, false)?)
    }

    /// Whether `path` leads to anything. A link that leads nowhere does not.
    ///
    /// # Errors
    /// What reading meets; never [`Error::NotFound`].
    pub fn exists(&self, path: &ImagePath) -> Result<bool> {
        match self.resolve(path, true) {
            Ok(_) => Ok(true),
            // Below something that is no directory nothing exists either.
            Err(Error::NotFound { .. } | Error::WrongType { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The attributes of an inode that a name leads to.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Corrupt`].
    pub fn stat_ino(&self, ino: u32) -> Result<Stat> {
        self.stat_of(ino, &self.inode_in_use(ino)?)
    }

    pub(super) fn stat_of(&self, ino: u32, inode: &Inode) -> Result<Stat> {
        let Some(kind) = inode.kind() else {
            return Err(Error::Corrupt { what: format!("inode {ino}: it has no type") });
        };
        let device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        Ok(Stat {
            ino,
            kind,
            mode: inode.i_mode() & 0o7777,
            uid: inode.uid(),
            gid: inode.gid(),
            size: inode.size(),
            nlink: inode.i_links_count(),
            atime: inode.atime(),
            mtime: inode.mtime(),
            ctime: inode.ctime(),
            rdev: if device { inode.device() } else { (0, 0) },
            allocated: inode.sectors(self.geometry().block_size) * 512,
        })
    }
}
