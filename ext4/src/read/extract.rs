//! A subtree of an image laid down on the host, as an ordinary user, beneath one open directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::{Filesystem, ImagePath, Limits, WalkEntry};
use crate::layout::inode::FileKind;
use crate::{Error, Result, Timestamp};

/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// What an extraction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Directories made, the top not counted.
    pub directories: u64,
    /// Files written.
    pub files: u64,
    /// Symbolic links made.
    pub symlinks: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// Devices, FIFOs and sockets left out: their paths below the top.
    pub skipped: Vec<Vec<u8>>,
}

/// An open directory of the host and what it becomes when all is in it.
struct Open {
    fd: OwnedFd,
    mode: Mode,
    modified: Timestamp,
}

impl Filesystem {
    /// Copies everything below the directory `top` into the open directory
    /// `into`. Permission bits and times of modification are kept; owners,
    /// set-id bits, attributes and the sharing of hard links are not; devices,
    /// FIFOs and sockets are left out. Nothing that exists is touched, no
    /// symbolic link on either side is followed, holes stay holes.
    ///
    /// # Errors
    /// [`Error::WrongType`] when `top` is no directory, [`Error::TooLarge`] at
    /// a limit, [`Error::Source`] when the host fails (or an entry exists
    /// already), and what reading meets. What was written until then stays.
    pub fn extract(
        &self,
        top: &ImagePath,
        into: BorrowedFd<'_>,
        limits: &Limits,
    ) -> Result<Extracted> {
        if self.stat(top)?.kind != FileKind::Directory {
            let reason = "only directories can be extracted";
            return Err(Error::WrongType { path: top.to_string(), reason });
        }
        self.lay_down(top, into, None, limits)
    }

    /// Copies what `path` leads to, of whatever type, into the open directory `into` under
    /// `name`, a directory with everything below it. As [`Self::extract`] otherwise.
    ///
    /// # Errors
    /// As [`Self::extract`]; [`Error::InvalidPath`] when `name` is no single name.
    pub fn extract_as(
        &self,
        path: &ImagePath,
        into: BorrowedFd<'_>,
        name: &[u8],
        limits: &Limits,
    ) -> Result<Extracted> {
        ImagePath::root().join(name)?;
        self.lay_down(path, into, Some(name), limits)
    }

    /// Lays `top` down as `name`, or without a name what is in it.
    fn lay_down(
        &self,
        top: &ImagePath,
        into: BorrowedFd<'_>,
        name: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<Extracted> {
        let mut done = Extracted::default();
        // The open directories on the way to the current entry, `into` apart.
        let mut way: Vec<Open> = Vec::new();
        self.walk(top, limits, &mut |entry| {
            let (depth, last) = match (entry.depth, name) {
                (0, None) => return Ok(()),
                (0, Some(name)) => (1, name),
                (depth, None) => (depth, entry.name()),
                (depth, Some(_)) => (depth + 1, entry.name()),
            };
            while way.len() >= depth {
                close(&mut way)?;
            }
            let at = way.last().map_or(into, |open| open.fd.as_fd());
            let told = |source: rustix::io::Errno| host_error(entry, source.into());
            match entry.stat.kind {
                FileKind::Directory => {
                    fs::mkdirat(at, last, Mode::RWXU).map_err(told)?;
                    let flags =
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let fd = fs::openat(at, last, flags, Mode::empty()).map_err(told)?;
                    let mode = permissions(entry);
                    way.push(Open { fd, mode, modified: entry.stat.mtime });
                    done.directories += 1;
                }
                FileKind::Regular => {
                    done.bytes += self.extract_file(entry, at, last)?;
                    done.files += 1;
                }
                FileKind::Symlink => {
                    let inode = self.inode_in_use(entry.stat.ino)?;
                    let target = self.link_target(entry.stat.ino, &inode)?;
                    fs::symlinkat(target.as_slice(), at, last).map_err(told)?;
                    let times = times(entry.stat.mtime);
                    fs::utimensat(at, last, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(told)?;
                    done.symlinks += 1;
                }
                FileKind::CharDevice
                | FileKind::BlockDevice
                | FileKind::Fifo
                | FileKind::Socket => {
                    done.skipped.push(entry.path.clone());
                }
            }
            Ok(())
        })?;
        while !way.is_empty() {
            close(&mut way)?;
        }
        Ok(done)
    }

    fn extract_file(&self, entry: &WalkEntry, at: BorrowedFd<'_>, name: &[u8]) -> Result<u64> {
        use std::os::unix::fs::FileExt;
        let told = |source: io::Error| host_error(entry, source);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|source| told(source.into()))?;
        let file = std::fs::File::from(fd);
        let inode = self.inode_in_use(entry.stat.ino)?;
        let size = entry.stat.size;
        if inode.size() != size {
            let what = format!("inode {}: it changes while it is read", entry.stat.ino);
            return Err(Error::Corrupt { what });
        }
        let mut content = self.content(entry.stat.ino, &inode)?;
        file.set_len(size).map_err(told)?;
        let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
        let mut offset = 0;
        while offset < size {
            let (len, stored) = content.piece(offset)?;
            let end = offset + len.max(1);
            if stored.is_none() && !content.is_inline() {
                offset = end;
                continue;
            }
            while offset < end {
                let want = usize::try_from(end - offset).unwrap_or(PIECE).min(buffer.len());
                let (piece, _) = buffer.split_at_mut(want);
                let len = content.read(offset, piece)?;
                if len == 0 {
                    break;
                }
                file.write_all_at(piece.get(..len).unwrap_or_default(), offset).map_err(told)?;
                offset += len as u64;
            }
        }
        let finish = || -> rustix::io::Result<()> {
            fs::fchmod(&file, permissions(entry))?;
            fs::futimens(&file, &times(entry.stat.mtime))
        };
        finish().map_err(|source| told(source.into()))?;
        Ok(size)
    }
}

/// Gives the innermost open directory its final mode and times.
fn close(way: &mut Vec<Open>) -> Result<()> {
    let Some(open) = way.pop() else { return Ok(()) };
    let finish = || -> rustix::io::Result<()> {
        fs::futimens(&open.fd, &times(open.modified))?;
        fs::fchmod(&open.fd, open.mode)
    };
    finish().map_err(|source| Error::Source {
        what: "a directory that was extracted: its mode and times".to_owned(),
        source: Some(source.into()),
    })
}

/// The permission bits alone: no set-id, no sticky.
fn permissions(entry: &WalkEntry) -> Mode {
    Mode::from_raw_mode(u32::from(entry.stat.mode & 0o777))
}

fn times(modified: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn host_error(entry: &WalkEntry, source: io::Error) -> Error {
    Error::Source {
        what: format!("{}: it cannot be written on the host", entry.path.escape_ascii()),
        source: Some(source),
    }
}
