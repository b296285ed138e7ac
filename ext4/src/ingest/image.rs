//! A subtree of another filesystem as a source.

use std::collections::HashMap;

use super::content::Content;
use super::source::{Entry, EntryKind, Sink, Source, Times};
use crate::layout::inode::{FileKind, Inode};
use crate::read::{Filesystem, ImagePath, Limits, Reader, WalkEntry};
use crate::{Error, Result};

/// Everything below a directory of a filesystem, the directory itself included.
/// A `lost+found` right below it is left out: every filesystem has its own.
#[derive(Debug)]
pub struct ImageTree<'a> {
    filesystem: &'a Filesystem,
    from: ImagePath,
    limits: Limits,
}

/// The subtree of `filesystem` at `from`, to be ingested into another image.
#[must_use]
pub fn copy_subtree<'a>(filesystem: &'a Filesystem, from: &ImagePath) -> ImageTree<'a> {
    // Deeper than a walk on the host may go: nothing is held open here.
    let limits = Limits { depth: 4096, ..Limits::default() };
    ImageTree { filesystem, from: from.clone(), limits }
}

impl ImageTree<'_> {
    /// Sets how far the walk may go.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl Source for ImageTree<'_> {
    fn feed(&mut self, sink: &mut dyn Sink) -> Result<()> {
        let mut first_names: HashMap<u32, Vec<u8>> = HashMap::new();
        let filesystem = self.filesystem;
        filesystem.walk_inodes(&self.from, &self.limits, &mut |found, inode| {
            if found.depth == 0 && found.stat.kind != FileKind::Directory {
                let reason = "it is no directory";
                return Err(Error::WrongType { path: self.from.to_string(), reason });
            }
            if found.path == b"lost+found" || found.path.starts_with(b"lost+found/") {
                return Ok(());
            }
            if found.stat.kind != FileKind::Directory && found.stat.nlink > 1 {
                if let Some(first) = first_names.get(&found.stat.ino) {
                    return give(sink, found, EntryKind::Hardlink(first), Vec::new());
                }
                first_names.insert(found.stat.ino, found.path.clone());
            }
            one(filesystem, found, inode, sink)
        })
    }
}

fn one(
    filesystem: &Filesystem,
    found: &WalkEntry,
    inode: &Inode,
    sink: &mut dyn Sink,
) -> Result<()> {
    let ino = found.stat.ino;
    let xattrs = filesystem.xattrs_of(ino, inode)?;
    let (major, minor) = found.stat.rdev;
    let kind = match found.stat.kind {
        FileKind::Directory => EntryKind::Directory,
        FileKind::Regular => {
            let mut content = ImageFile::new(filesystem, ino, inode)?;
            let kind = EntryKind::File { len: content.len, content: &mut content };
            return give(sink, found, kind, xattrs);
        }
        FileKind::Symlink => {
            let target = filesystem.link_target(ino, inode)?;
            return give(sink, found, EntryKind::Symlink(&target), xattrs);
        }
        FileKind::CharDevice => EntryKind::CharDevice(major, minor),
        FileKind::BlockDevice => EntryKind::BlockDevice(major, minor),
        FileKind::Fifo => EntryKind::Fifo,
        FileKind::Socket => EntryKind::Socket,
    };
    give(sink, found, kind, xattrs)
}

fn give<'a>(
    sink: &mut dyn Sink,
    found: &'a WalkEntry,
    kind: EntryKind<'a>,
    xattrs: Vec<super::Xattr>,
) -> Result<()> {
    let stat = &found.stat;
    sink.entry(Entry {
        path: &found.path,
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        times: Times { accessed: stat.atime, modified: stat.mtime, changed: stat.ctime },
        xattrs,
    })
}

/// A file of the other filesystem, its holes known from its map.
struct ImageFile<'a> {
    reader: Reader<'a>,
    block_size: u64,
    position: u64,
    /// Up to here there is data.
    data_until: u64,
    len: u64,
}

impl<'a> ImageFile<'a> {
    fn new(filesystem: &'a Filesystem, ino: u32, inode: &Inode) -> Result<Self> {
        Ok(Self {
            reader: filesystem.content(ino, inode)?,
            block_size: filesystem.geometry().block_size.into(),
            position: 0,
            data_until: 0,
            len: inode.size(),
        })
    }
}

impl Content for ImageFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.reader.read(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }

    fn skip_hole(&mut self) -> Result<u64> {
        if self.position < self.data_until || self.position >= self.len {
            return Ok(0);
        }
        let Some(run) = self.reader.run(self.position / self.block_size)? else { return Ok(0) };
        let end = (run.logical + run.len).saturating_mul(self.block_size).min(self.len);
        if run.physical.is_some() {
            self.data_until = end;
            return Ok(0);
        }
        let hole = end - self.position;
        self.position = end;
        Ok(hole)
    }
}
