//! Packs files of the host's into a tar for a guest.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::tar_writer::{Attributes, TarWriter};

/// Why packing stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// A file of the host's cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Whoever takes the stream takes no more.
    #[error("the guest takes no more")]
    Stream(#[source] io::Error),
}

/// What was left out, or should be known.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// Devices, pipes and sockets.
    pub(crate) left_out: Vec<PathBuf>,
    /// Files that changed while they were read.
    pub(crate) changed: Vec<PathBuf>,
}

/// A tar that is being packed; `count` is told how many bytes of content went into it.
pub(crate) struct Packer<'a, W> {
    tar: TarWriter<W>,
    packed: Packed,
    count: &'a dyn Fn(u64),
    before: i64,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(crate) fn new(out: W, count: &'a dyn Fn(u64)) -> Self {
        Self { tar: TarWriter::new(out), packed: Packed::default(), count, before: i64::MAX }
    }

    /// What was changed at `before` or later is packed as a second older: should it change once
    /// more in the same second, the two are told apart.
    pub(crate) fn older_than(self, before: i64) -> Self {
        Self { before, ..self }
    }

    fn attributes(&self, metadata: &Metadata) -> Attributes {
        let mtime = metadata.mtime();
        let mtime = if mtime >= self.before { mtime - 1 } else { mtime };
        Attributes { mode: metadata.mode() & 0o7777, mtime }
    }

    /// Adds a folder and all that is below it under `name`; without `itself`, only what is
    /// below.
    pub(crate) fn tree(&mut self, path: &Path, name: &[u8], itself: bool) -> Result<(), PackError> {
        if itself {
            self.one(path, name)?;
        }
        let mut open = vec![(path.to_owned(), name.to_vec())];
        while let Some((folder, name)) = open.pop() {
            for entry in entries(&folder)? {
                let path = folder.join(&entry);
                let name = [&name, b"/".as_slice(), entry.as_bytes()].concat();
                if self.one(&path, &name)? {
                    open.push((path, name));
                }
            }
        }
        Ok(())
    }

    /// Adds one file, link or folder under `name`; true for a folder, of which nothing below
    /// is added. A link is never followed.
    pub(crate) fn one(&mut self, path: &Path, name: &[u8]) -> Result<bool, PackError> {
        let failed = |source| PackError::Read { path: path.to_owned(), source };
        let metadata = path.symlink_metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            let attributes = self.attributes(&metadata);
            self.tar.directory(name, attributes).map_err(PackError::Stream)?;
            return Ok(true);
        }
        if kind.is_symlink() {
            let target = path.read_link().map_err(failed)?;
            let target = target.as_os_str().as_bytes();
            let attributes = self.attributes(&metadata);
            self.tar.symlink(name, target, attributes).map_err(PackError::Stream)?;
        } else if kind.is_file() {
            self.file(path, name).map_err(|error| match error {
                // Told apart by the reader, which remembers its errors.
                FileError::Read(source) => failed(source),
                FileError::Stream(source) => PackError::Stream(source),
            })?;
        } else {
            self.packed.left_out.push(path.to_owned());
        }
        Ok(false)
    }

    fn file(&mut self, path: &Path, name: &[u8]) -> Result<(), FileError> {
        // Should it have become a pipe meanwhile, nobody waits for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(
            open(path, flags, Mode::empty()).map_err(|error| FileError::Read(error.into()))?,
        );
        let metadata = file.metadata().map_err(FileError::Read)?;
        let mut content = Counted { file: &file, count: self.count, failed: None };
        let attributes = self.attributes(&metadata);
        let copied = self.tar.file(name, attributes, metadata.len(), &mut content);
        if let Some(error) = content.failed {
            return Err(FileError::Read(error));
        }
        let copied = copied.map_err(FileError::Stream)?;
        let after = file.metadata().map_err(FileError::Read)?;
        if copied != metadata.len()
            || after.len() != metadata.len()
            || after.modified().ok() != metadata.modified().ok()
        {
            self.packed.changed.push(path.to_owned());
        }
        Ok(())
    }

    /// The end of it.
    pub(crate) fn finish(self) -> Result<Packed, PackError> {
        self.tar.finish().map_err(PackError::Stream)?;
        Ok(self.packed)
    }
}

enum FileError {
    Read(io::Error),
    Stream(io::Error),
}

/// A file that tells how much was read of it, and keeps its own errors apart from those of
/// whoever it is copied to.
struct Counted<'a> {
    file: &'a File,
    count: &'a dyn Fn(u64),
    failed: Option<io::Error>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(length) => {
                (self.count)(length as u64);
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

/// The names in a folder, in their order.
fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>, PackError> {
    let failed = |source| PackError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// The name of a path of the host's, as [`super::place::base`] has it for a guest's.
pub(crate) fn name(path: &Path) -> &OsStr {
    OsStr::from_bytes(super::place::base(path.as_os_str().as_bytes()))
}
