//! Unpacks what a guest sends below one folder of the host's, and nowhere else.
//!
//! The guest is taken to be hostile: names are taken apart, every folder on the way is opened
//! without following a link, files get their names when they are whole, and of the modes
//! only the permission bits are taken. Devices and pipes are left out.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, linkat,
    mkdirat, open, openat, renameat, statat, symlinkat, unlinkat, utimensat,
};

use super::tar_reader::{Kind, Member, read};

/// Permission bits that cross: no set-uid, no set-gid, no sticky bit.
const PERMISSIONS: u32 = 0o777;

/// Why unpacking stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The stream cannot be read, or is no tar.
    #[error("what the guest sends cannot be read")]
    Stream(#[from] io::Error),
    /// A name that leads elsewhere, or that nobody asked for.
    #[error("the guest sends a file that was not asked for: {0}")]
    Name(String),
    /// Something could not be made here.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What was left out, or should be known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Members that came, but for folders.
    pub(crate) files: u64,
    /// Folders that came.
    pub(crate) folders: u64,
    /// Devices, pipes and the like.
    pub(crate) left_out: Vec<String>,
    /// Links that lead out of what was copied.
    pub(crate) links_out: Vec<String>,
}

/// Unpacks a tar whose members all are `base` or below it; `base` itself becomes
/// `folder`/`name`. `count` is told how many bytes have come.
///
/// # Errors
/// [`UnpackError`]; the folder that failed stays as far as it came, a file never does.
pub(crate) fn unpack(
    stream: impl Read,
    base: &[u8],
    folder: &Path,
    name: &OsStr,
    count: impl Fn(u64),
) -> Result<Unpacked, UnpackError> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = open(folder, flags, Mode::empty())
        .map_err(|error| UnpackError::Write { path: folder.to_owned(), source: error.into() })?;
    let mut target = Target {
        root,
        folder,
        name: name.to_owned(),
        base,
        made: Vec::new(),
        unpacked: Unpacked::default(),
        count: &count,
    };
    read(stream, |member, content| target.member(&member, content))?;
    target.finish()
}

struct Target<'a> {
    root: OwnedFd,
    folder: &'a Path,
    name: OsString,
    base: &'a [u8],
    /// Folders whose attributes are set at the end: a read-only one is still to be filled.
    made: Vec<(Vec<OsString>, u32, i64)>,
    unpacked: Unpacked,
    count: &'a dyn Fn(u64),
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The plain components of a name; `.` and empty ones are left out, `..` is refused.
fn components(name: &[u8]) -> Option<Vec<&[u8]>> {
    let mut plain = Vec::new();
    if name.starts_with(b"/") || name.contains(&0) {
        return None;
    }
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Whether a link at this depth below the copy leads out of it.
fn leads_out(depth: usize, target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return true;
    }
    let mut depth = i64::try_from(depth).unwrap_or(i64::MAX);
    target.split(|&byte| byte == b'/').any(|component| {
        match component {
            b"" | b"." => {}
            b".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

impl Target<'_> {
    /// Where a member goes: components below the root.
    fn place(&self, name: &[u8]) -> Result<Vec<OsString>, UnpackError> {
        let refused = || UnpackError::Name(shown(name));
        let found = components(name).ok_or_else(refused)?;
        let base = components(self.base).ok_or_else(refused)?;
        let below = found.strip_prefix(base.as_slice()).ok_or_else(refused)?;
        let mut place = Vec::with_capacity(below.len() + 1);
        place.push(self.name.clone());
        place.extend(below.iter().map(|component| OsString::from_vec(component.to_vec())));
        Ok(place)
    }

    fn path(&self, place: &[OsString]) -> PathBuf {
        place.iter().fold(self.folder.to_owned(), |path, component| path.join(component))
    }

    fn failed(&self, place: &[OsString]) -> impl FnOnce(rustix::io::Errno) -> UnpackError + use<> {
        let path = self.path(place);
        move |error| UnpackError::Write { path, source: error.into() }
    }

    /// The folder that holds a place, opened without following a link on the way; what is
    /// missing on the way is made.
    fn parent<'p>(&self, place: &'p [OsString]) -> Result<(OwnedFd, &'p OsStr), UnpackError> {
        let Some((last, parents)) = place.split_last() else {
            return Err(UnpackError::Name(String::new()));
        };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let mut here = openat(&self.root, c".", flags, Mode::empty()).map_err(self.failed(&[]))?;
        for (at, component) in parents.iter().enumerate() {
            let failed = || self.failed(place.get(..=at).unwrap_or_default());
            here = match openat(&here, component, flags, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) => {
                    mkdirat(&here, component, Mode::from_raw_mode(0o777)).map_err(failed())?;
                    openat(&here, component, flags, Mode::empty()).map_err(failed())?
                }
                opened => opened.map_err(failed())?,
            };
        }
        Ok((here, last))
    }

    fn member(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), UnpackError> {
        let place = self.place(&member.name)?;
        if matches!(member.kind, Kind::Other) {
            self.unpacked.left_out.push(shown(&member.name));
            return Ok(());
        }
        let (parent, last) = self.parent(&place)?;
        let path = self.path(&place);
        let failed = || {
            let path = path.clone();
            |error: rustix::io::Errno| UnpackError::Write { path, source: error.into() }
        };
        match member.kind {
            Kind::Directory => self.unpacked.folders += 1,
            _ => self.unpacked.files += 1,
        }
        match &member.kind {
            Kind::Directory => {
                match mkdirat(&parent, last, Mode::from_raw_mode(0o700)) {
                    Err(rustix::io::Errno::EXIST) => {
                        let there =
                            statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed())?;
                        if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                            return Err(failed()(rustix::io::Errno::NOTDIR));
                        }
                    }
                    made => made.map_err(failed())?,
                }
                // A folder that was there, and that only its content goes into, stays as it is.
                if place != [OsStr::new(".")] {
                    self.made.push((place, member.mode, member.mtime));
                }
            }
            Kind::File { size } => {
                let new = New::in_folder(parent.as_fd()).map_err(failed())?;
                let copied = self
                    .fill(&new.file, content)
                    .map_err(|source| UnpackError::Write { path: path.clone(), source })?;
                if copied != *size {
                    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in a file");
                    return Err(UnpackError::Stream(cut));
                }
                fchmod(&new.file, Mode::from_raw_mode(member.mode & PERMISSIONS))
                    .map_err(failed())?;
                futimens(&new.file, &times(member.mtime)).map_err(failed())?;
                new.keep(last).map_err(failed())?;
            }
            Kind::Symlink { target } => {
                if leads_out(place.len().saturating_sub(2), target) {
                    self.unpacked.links_out.push(shown(&member.name));
                }
                let new = New::name();
                symlinkat(OsStr::from_bytes(target), &parent, &new).map_err(failed())?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                // Links have no mode, and not every filesystem keeps their times.
                let _no_times = utimensat(&parent, &new, &times(member.mtime), flags);
                if let Err(error) = renameat(&parent, &new, &parent, last) {
                    let _stays = unlinkat(&parent, &new, AtFlags::empty());
                    return Err(failed()(error));
                }
            }
            Kind::HardLink { target } => {
                let (from, original) = {
                    let target = self.place(target)?;
                    let (from, last) = self.parent(&target)?;
                    (from, last.to_owned())
                };
                let new = New::name();
                linkat(&from, &original, &parent, &new, AtFlags::empty()).map_err(failed())?;
                let renamed = renameat(&parent, &new, &parent, last);
                // Stays where both names were the same file already.
                let _gone = unlinkat(&parent, &new, AtFlags::empty());
                renamed.map_err(failed())?;
            }
            Kind::Other => {}
        }
        Ok(())
    }

    fn fill(&self, mut file: &File, content: &mut dyn Read) -> io::Result<u64> {
        use std::io::Write;
        let mut buffer = vec![0; 128 << 10];
        let mut copied = 0;
        loop {
            let length = content.read(&mut buffer)?;
            if length == 0 {
                return Ok(copied);
            }
            file.write_all(buffer.get(..length).unwrap_or_default())?;
            copied += length as u64;
            (self.count)(length as u64);
        }
    }

    /// Folders get their modes and times, the innermost first.
    fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for (place, mode, mtime) in std::mem::take(&mut self.made).into_iter().rev() {
            let (parent, last) = self.parent(&place)?;
            let failed = || self.failed(&place);
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let folder = openat(&parent, last, flags, Mode::empty()).map_err(failed())?;
            futimens(&folder, &times(mtime)).map_err(failed())?;
            fchmod(&folder, Mode::from_raw_mode(mode & PERMISSIONS)).map_err(failed())?;
        }
        Ok(self.unpacked)
    }
}

fn times(mtime: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime, tv_nsec: 0 },
    }
}

/// A file that has no final name yet; gone when it is dropped without one.
struct New<'a> {
    folder: rustix::fd::BorrowedFd<'a>,
    name: OsString,
    file: File,
    kept: bool,
}

impl<'a> New<'a> {
    fn name() -> OsString {
        format!(".banger-{}", banger_proto::VmId::random()).into()
    }

    fn in_folder(folder: rustix::fd::BorrowedFd<'a>) -> rustix::io::Result<Self> {
        let name = Self::name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let file =
            openat(folder, &name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))?.into();
        Ok(Self { folder, name, file, kept: false })
    }

    fn keep(mut self, name: &OsStr) -> rustix::io::Result<()> {
        renameat(self.folder, &self.name, self.folder, name)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // A file that cannot be removed is no worse than one that cannot be written.
            let _stays = unlinkat(self.folder, &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests;
