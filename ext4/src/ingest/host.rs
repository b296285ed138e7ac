//! A folder of the host as a source; symbolic links are entries, never followed.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::content::Content;
use super::source::{Entry, EntryKind, Sink, Source, Times, Timestamp, Xattr, refused, unreadable};
use crate::{Error, Result};

/// Folders within folders; each one holds a descriptor open while it is walked.
const DEEPEST: usize = 400;
/// The longest list of attribute names, and the longest value, Linux gives.
const LONGEST_XATTR: usize = 65_536;

/// A folder of the host and everything below it, other filesystems included.
///
/// Names are given in sorted order. Hard links are given as such when both names
/// lie in the tree. Of the extended attributes, `user.*`, `trusted.*`,
/// `security.capability` and the access control lists are taken; labels that
/// belong to the host's own security policy are not.
#[derive(Debug)]
pub struct HostTree {
    top: OwnedFd,
    name: Vec<u8>,
}

impl HostTree {
    /// Opens the folder. A link as the last component is not followed.
    ///
    /// # Errors
    /// [`Error::Source`] when it is not a folder or cannot be opened.
    pub fn open(folder: &Path) -> Result<Self> {
        let name = folder.as_os_str().as_bytes().to_vec();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = rustix::fs::open(folder, flags, Mode::empty())
            .map_err(|errno| unreadable(&name, errno))?;
        Ok(Self { top, name })
    }

    /// Takes a folder that is open already; `name` stands for it in errors.
    #[must_use]
    pub fn of_open(folder: OwnedFd, name: &[u8]) -> Self {
        Self { top: folder, name: name.to_vec() }
    }
}

impl Source for HostTree {
    fn feed(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let stat = rustix::fs::fstat(&self.top).map_err(|errno| unreadable(&self.name, errno))?;
        let mut walk = Walk { sink, first_names: HashMap::new() };
        let xattrs = xattrs(&self.top, &self.name)?;
        walk.sink.entry(entry(&[], EntryKind::Directory, &stat, xattrs))?;
        walk.folder(&self.top, &[], 0)
    }
}

struct Walk<'a> {
    sink: &'a mut dyn Sink,
    /// First path given of an inode that has several names.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::TooLarge {
                what: format!("the depth of {}", path.escape_ascii()),
                limit: DEEPEST as u64,
            });
        }
        for name in names(folder).map_err(|errno| unreadable(path, errno))? {
            let mut inner = path.to_vec();
            if !inner.is_empty() {
                inner.push(b'/');
            }
            inner.extend_from_slice(&name);
            self.one(folder, &name, &inner, depth)?;
        }
        Ok(())
    }

    fn one(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8], depth: usize) -> Result<()> {
        let failed = |errno: Errno| unreadable(path, errno);
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.first_names.get(&key) {
                let kind = EntryKind::Hardlink(first);
                return self.sink.entry(entry(path, kind, &stat, Vec::new()));
            }
            self.first_names.insert(key, path.to_vec());
        }
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let plain = match kind {
            FileType::Directory => {
                let inner = open(folder, name, kind).map_err(failed)?;
                let xattrs = xattrs(&inner, path)?;
                self.sink.entry(entry(path, EntryKind::Directory, &stat, xattrs))?;
                return self.folder(&inner, path, depth + 1);
            }
            FileType::RegularFile => {
                let file = open(folder, name, kind).map_err(failed)?;
                // Asked again of what was opened: the name may have moved on.
                let stat = rustix::fs::fstat(&file).map_err(failed)?;
                let xattrs = xattrs(&file, path)?;
                let len = u64::try_from(stat.st_size).unwrap_or(0);
                let file = File::from(file);
                let mut content = HostFile::new(file, path, len);
                let kind = EntryKind::File { len, content: &mut content };
                return self.sink.entry(entry(path, kind, &stat, xattrs));
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(failed)?;
                let kind = EntryKind::Symlink(target.as_bytes());
                return self.sink.entry(entry(path, kind, &stat, Vec::new()));
            }
            FileType::CharacterDevice => EntryKind::CharDevice(device.0, device.1),
            FileType::BlockDevice => EntryKind::BlockDevice(device.0, device.1),
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::Unknown => return Err(refused(path, "an entry of unknown type")),
        };
        self.sink.entry(entry(path, plain, &stat, Vec::new()))
    }
}

/// Opens without following a link and without waiting on a pipe that took the
/// name; only the type that was seen is accepted.
fn open(folder: &OwnedFd, name: &[u8], kind: FileType) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::openat(folder, name, flags | OFlags::NOCTTY, Mode::empty())?;
    let stat = rustix::fs::fstat(&opened)?;
    if FileType::from_raw_mode(stat.st_mode) == kind { Ok(opened) } else { Err(Errno::STALE) }
}

fn names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for found in Dir::read_from(folder)? {
        let found = found?;
        let name = found.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn entry<'a>(path: &'a [u8], kind: EntryKind<'a>, stat: &Stat, xattrs: Vec<Xattr>) -> Entry<'a> {
    let moment = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    };
    Entry {
        path,
        kind,
        mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        uid: stat.st_uid,
        gid: stat.st_gid,
        times: Times {
            accessed: moment(stat.st_atime, stat.st_atime_nsec),
            modified: moment(stat.st_mtime, stat.st_mtime_nsec),
            changed: moment(stat.st_ctime, stat.st_ctime_nsec),
        },
        xattrs,
    }
}

fn taken(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name == b"security.capability"
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

fn xattrs(file: &OwnedFd, path: &[u8]) -> Result<Vec<Xattr>> {
    let mut listed = vec![0; 1024];
    let len = loop {
        match rustix::fs::flistxattr(file, &mut listed) {
            Ok(len) => break len,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(Errno::RANGE) if listed.len() < LONGEST_XATTR => listed.resize(LONGEST_XATTR, 0),
            Err(errno) => return Err(unreadable(path, errno)),
        }
    };
    listed.truncate(len);
    let mut found = Vec::new();
    for name in listed.split(|&byte| byte == 0).filter(|name| taken(name)) {
        let mut value = vec![0; LONGEST_XATTR];
        match rustix::fs::fgetxattr(file.as_fd(), name, &mut value) {
            Ok(len) => value.truncate(len),
            // Removed between the listing and now.
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(unreadable(path, errno)),
        }
        value.shrink_to_fit();
        found.push(Xattr { name: name.to_vec(), value });
    }
    found.sort_unstable();
    Ok(found)
}

/// An open file of the host, read in order with its holes skipped.
#[derive(Debug)]
pub struct HostFile<'a> {
    file: File,
    path: &'a [u8],
    position: u64,
    /// Up to here the file is known to hold data.
    data_until: u64,
    len: u64,
}

impl<'a> HostFile<'a> {
    /// Reads the first `len` bytes of a file; `path` stands for it in errors.
    #[must_use]
    pub fn new(file: File, path: &'a [u8], len: u64) -> Self {
        Self { file, path, position: 0, data_until: 0, len }
    }
}

impl Content for HostFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.len.saturating_sub(self.position))
            .map_or(buffer.len(), |left| left.min(buffer.len()));
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let read = loop {
            match rustix::io::pread(&self.file, &mut *buffer, self.position) {
                Err(Errno::INTR) => {}
                Ok(0) => return Err(refused(self.path, "it became shorter while it was read")),
                Ok(read) => break read,
                Err(errno) => return Err(unreadable(self.path, errno)),
            }
        };
        self.position += read as u64;
        Ok(read)
    }

    fn skip_hole(&mut self) -> Result<u64> {
        if self.position < self.data_until || self.position >= self.len {
            return Ok(0);
        }
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(data) => data.min(self.len),
            // No data up to the end.
            Err(Errno::NXIO) => self.len,
            // The filesystem does not know holes.
            Err(_) => {
                self.data_until = self.len;
                return Ok(0);
            }
        };
        let hole = data - self.position;
        self.position = data;
        self.data_until = rustix::fs::seek(&self.file, SeekFrom::Hole(data)).unwrap_or(self.len);
        Ok(hole)
    }
}
