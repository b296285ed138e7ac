//! Entries of a tree, who gives them and who takes them.

use super::Content;
pub(super) use crate::Timestamp;
use crate::{Error, Result};

/// The times an entry carries; what a source does not know is the modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Last read (`i_atime`).
    pub accessed: Timestamp,
    /// Last change of the content (`i_mtime`).
    pub modified: Timestamp,
    /// Last change of the inode (`i_ctime`).
    pub changed: Timestamp,
}

impl From<Timestamp> for Times {
    fn from(moment: Timestamp) -> Self {
        Self { accessed: moment, modified: moment, changed: moment }
    }
}

/// An extended attribute, as the system calls have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name: `user.note`, `security.capability`, `system.posix_acl_access`.
    pub name: Vec<u8>,
    /// Value; access control lists in the form of the system calls.
    pub value: Vec<u8>,
}

/// What an entry is.
pub enum EntryKind<'a> {
    /// A folder.
    Directory,
    /// A regular file of `len` bytes.
    File {
        /// Length in bytes; the content gives exactly as many.
        len: u64,
        /// Where the bytes come from.
        content: &'a mut dyn Content,
    },
    /// A symbolic link with its target, kept as it is.
    Symlink(&'a [u8]),
    /// Another name of an entry given before: its path, as `Entry::path` has it.
    Hardlink(&'a [u8]),
    /// A character device, major and minor number.
    CharDevice(u32, u32),
    /// A block device, major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

impl std::fmt::Debug for EntryKind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => write!(f, "Directory"),
            Self::File { len, .. } => write!(f, "File({len})"),
            Self::Symlink(target) => write!(f, "Symlink({})", target.escape_ascii()),
            Self::Hardlink(target) => write!(f, "Hardlink({})", target.escape_ascii()),
            Self::CharDevice(major, minor) => write!(f, "CharDevice({major}, {minor})"),
            Self::BlockDevice(major, minor) => write!(f, "BlockDevice({major}, {minor})"),
            Self::Fifo => write!(f, "Fifo"),
            Self::Socket => write!(f, "Socket"),
        }
    }
}

/// One entry of a tree.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Components joined by `/`, none of them empty, `.` or `..`; empty for the
    /// top of the tree itself.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind<'a>,
    /// Permission bits with set-id and sticky (`0o7777`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times.
    pub times: Times,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// Takes entries, one after the other.
pub trait Sink {
    /// Takes one entry.
    ///
    /// # Errors
    /// Whatever keeps the entry from being taken; the source stops then.
    fn entry(&mut self, entry: Entry<'_>) -> Result<()>;
}

/// Gives the entries of a tree: parents before what they hold.
pub trait Source {
    /// Gives every entry to `sink` and returns its first error.
    ///
    /// # Errors
    /// [`Error::Source`] when the tree cannot be read or says something
    /// impossible, and the sink's own errors.
    fn feed(&mut self, sink: &mut dyn Sink) -> Result<()>;
}

/// The path of an entry as [`Entry::path`] has it: leading slashes, empty and `.`
/// components dropped; `None` when a component is `..`, holds a NUL byte or is
/// longer than a name can be.
pub(super) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(path.len());
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            name if name.contains(&0) || name.len() > 255 => return None,
            name => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(name);
            }
        }
    }
    Some(clean)
}

/// True for the extended attributes an ext4 filesystem can hold.
pub(super) fn storable(name: &[u8]) -> bool {
    [&b"user."[..], b"trusted.", b"security."]
        .iter()
        .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

/// A path for people: escaped, and cut in its middle when it is long.
pub(crate) fn shown(path: &[u8]) -> String {
    const END: usize = 100;
    match (path.get(..END), path.len().checked_sub(END).and_then(|at| path.get(at..))) {
        (Some(head), Some(tail)) if path.len() > 2 * END => {
            format!("{}...{}", head.escape_ascii(), tail.escape_ascii())
        }
        _ => path.escape_ascii().to_string(),
    }
}

/// A refusal that names the entry.
pub(super) fn refused(path: &[u8], reason: impl std::fmt::Display) -> Error {
    Error::Source { what: format!("{}: {reason}", shown(path)), source: None }
}

/// A failed read that names the entry.
pub(super) fn unreadable(path: &[u8], source: impl Into<std::io::Error>) -> Error {
    Error::Source { what: shown(path), source: Some(source.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_shown_by_its_ends() {
        assert_eq!(shown(b"a\nb"), "a\\nb");
        assert_eq!(shown(&[b'x'; 200]).len(), 200);
        let long = [&[b'a'; 150][..], &[b'\xff'; 4000]].concat();
        let text = shown(&long);
        assert!(text.starts_with("aaa") && text.contains("...") && text.len() < 600, "{text}");
    }

    #[test]
    fn paths_lose_what_names_nothing_and_never_leave_the_tree() {
        assert_eq!(clean(b"/./a//b/"), Some(b"a/b".to_vec()));
        assert_eq!(clean(b"./"), Some(Vec::new()));
        assert_eq!(clean(b"a/.../b"), Some(b"a/.../b".to_vec()));
        assert_eq!(clean(b"a/../b"), None);
        assert_eq!(clean(b".."), None);
        assert_eq!(clean(b"a\0b"), None);
        assert_eq!(clean(&[b'x'; 256]), None);
        assert_eq!(clean(&[b'x'; 255]).map(|path| path.len()), Some(255));
    }
}
