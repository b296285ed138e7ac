//! One entry of the batch that is written into a guest's filesystem.

/// What is to be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file with these bytes. It replaces whatever is there, a symlink too.
    File(Vec<u8>),
    /// A symlink to this target. It replaces a file or link that is there.
    Symlink(String),
    /// A directory. One that exists gets mode and owner and keeps its content.
    Directory,
    /// A directory, where there is nothing; what is there stays as it is.
    MountPoint,
    /// Nothing: what is there is removed; that nothing is there is fine.
    Absent,
}

/// One entry: a batch is written in its order, so that directories come before
/// what is in them. A parent that is not in the batch and does not exist is made
/// as a directory 0:0 0755.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute path in the guest.
    pub path: String,
    /// Permission bits. Without meaning for symlinks and for what is removed.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What is to be there.
    pub content: Content,
}

impl GuestFile {
    fn new(path: &str, mode: u16, content: Content) -> Self {
        Self { path: path.to_owned(), mode, uid: 0, gid: 0, content }
    }

    /// A file 0:0 0644.
    pub(super) fn text(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self::new(path, 0o644, Content::File(text.into()))
    }

    /// A file 0:0 0755.
    pub(super) fn program(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self::new(path, 0o755, Content::File(text.into()))
    }

    /// A file 0:0 0600.
    pub(super) fn secret(path: &str, text: impl Into<Vec<u8>>) -> Self {
        Self::new(path, 0o600, Content::File(text.into()))
    }

    /// A directory 0:0.
    pub(super) fn directory(path: &str, mode: u16) -> Self {
        Self::new(path, mode, Content::Directory)
    }

    /// A directory 0:0 0755 to mount something on.
    pub(super) fn mount_point(path: &str) -> Self {
        Self::new(path, 0o755, Content::MountPoint)
    }

    /// A symlink.
    pub(super) fn link(path: &str, target: &str) -> Self {
        Self::new(path, 0o777, Content::Symlink(target.to_owned()))
    }

    /// Nothing.
    pub(super) fn absent(path: &str) -> Self {
        Self::new(path, 0, Content::Absent)
    }
}
