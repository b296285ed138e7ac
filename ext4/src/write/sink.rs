//! Taking entries in: each replaces what stands at its path, as tar does.

use std::collections::HashMap;

use super::create::{NewInode, NewKind, dress};
use super::volume::Volume;
use crate::ingest::{Entry, EntryKind, Sink, Xattr};
use crate::layout::inode::{FileKind, ROOT_INO};
use crate::{Error, ImagePath, Result};

/// What becomes of the owners that entries name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// They are kept.
    Keep,
    /// Everything belongs to 0:0.
    Root,
}

/// What was taken in so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IngestStats {
    /// Entries of every kind.
    pub entries: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
}

/// Called after every entry.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(&IngestStats);

pub(crate) struct TreeSink<'a> {
    volume: &'a mut Volume,
    at: ImagePath,
    top: u32,
    ownership: Ownership,
    pub(crate) stats: IngestStats,
    progress: Progress<'a>,
    /// Directories that paths were found to lead to.
    known: HashMap<Vec<u8>, u32>,
}

impl<'a> TreeSink<'a> {
    pub(crate) fn new(
        volume: &'a mut Volume,
        at: &ImagePath,
        top: u32,
        ownership: Ownership,
        progress: Progress<'a>,
    ) -> Self {
        Self {
            volume,
            at: at.clone(),
            top,
            ownership,
            stats: IngestStats::default(),
            progress,
            known: HashMap::new(),
        }
    }

    /// The directory at a path below the top. Missing ones are made, 0755 0:0,
    /// when `make` is set; `None` when one is missing otherwise.
    fn directory(&mut self, path: &[u8], make: bool) -> Result<Option<u32>> {
        if path.is_empty() {
            return Ok(Some(self.top));
        }
        if let Some(ino) = self.known.get(path) {
            return Ok(Some(*ino));
        }
        let (above, name) = split(path);
        let Some(parent) = self.directory(above, make)? else { return Ok(None) };
        let ino = match self.volume.lookup(parent, name)? {
            Some((ino, _)) => match self.volume.named_inode(ino)?.kind() {
                Some(FileKind::Directory) => ino,
                Some(FileKind::Symlink) => self.volume.directory_at(&self.inside(path)?)?,
                _ => {
                    let reason = "it is no directory, and an entry lies below it";
                    return Err(Error::WrongType { path: path.escape_ascii().to_string(), reason });
                }
            },
            None if make => {
                let now = self.volume.now;
                let times = now.into();
                let new = NewInode { mode: 0o755, uid: 0, gid: 0, times, xattrs: &[] };
                self.volume.create(parent, name, &new, NewKind::Directory)?
            }
            None => return Ok(None),
        };
        self.known.insert(path.to_vec(), ino);
        Ok(Some(ino))
    }

    /// A path below the top as one of the image.
    fn inside(&self, path: &[u8]) -> Result<ImagePath> {
        path.split(|byte| *byte == b'/').try_fold(self.at.clone(), |at, name| at.join(name))
    }

    /// Sets what a directory that is there already is to have.
    fn adopt(&mut self, ino: u32, new: &NewInode<'_>) -> Result<()> {
        let mut inode = self.volume.named_inode(ino)?;
        dress(&mut inode, FileKind::Directory, new);
        let (group, _) = self.volume.geometry.inode_place(ino)?;
        self.volume.set_attributes(group, &mut inode, new.xattrs)?;
        let map = self.volume.load_map(ino, &inode)?;
        self.volume.count_blocks(&mut inode, &map);
        self.volume.write_inode(ino, &inode)
    }

    fn hard_link(&mut self, path: &[u8], parent: u32, name: &[u8], target: &[u8]) -> Result<()> {
        let refused = |reason: &str| Error::Source {
            what: format!("{}: {reason} {}", path.escape_ascii(), target.escape_ascii()),
            source: None,
        };
        let (above, last) = split(target);
        let found = match self.directory(above, false)? {
            Some(directory) => self.volume.lookup(directory, last)?,
            None => None,
        };
        let Some((ino, _)) = found else {
            return Err(refused("it is a hard link to what was not given:"));
        };
        if self.volume.named_inode(ino)?.kind() == Some(FileKind::Directory) {
            return Err(refused("it is a hard link to a directory:"));
        }
        match self.volume.lookup(parent, name)? {
            Some((existing, _)) if existing == ino => return Ok(()),
            Some((existing, _)) => self.clear(path, parent, name, existing)?,
            None => {}
        }
        self.volume.link(parent, name, ino)
    }

    /// Removes what stands in an entry's place.
    fn clear(&mut self, path: &[u8], parent: u32, name: &[u8], existing: u32) -> Result<()> {
        if self.volume.named_inode(existing)?.kind() == Some(FileKind::Directory) {
            let path = path.escape_ascii().to_string();
            self.volume.remove_directory(parent, name, existing, &path)?;
        } else {
            self.volume.unlink(parent, name)?;
            self.volume.drop_name(existing)?;
        }
        // A path may have led through it.
        self.known.clear();
        Ok(())
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<()> {
        let (uid, gid) = match self.ownership {
            Ownership::Keep => (entry.uid, entry.gid),
            Ownership::Root => (0, 0),
        };
        let xattrs: &[Xattr] = &entry.xattrs;
        let new = NewInode { mode: entry.mode, uid, gid, times: entry.times, xattrs };
        if entry.path.is_empty() {
            if !matches!(entry.kind, EntryKind::Directory) {
                let what = "the top of the tree, which is no directory".to_owned();
                return Err(Error::Source { what, source: None });
            }
            return self.adopt(self.top, &new);
        }
        let (above, name) = split(entry.path);
        let parent = self.directory(above, true)?.unwrap_or(ROOT_INO);
        let kind = match entry.kind {
            EntryKind::Hardlink(target) => {
                return self.hard_link(entry.path, parent, name, target);
            }
            EntryKind::Directory => NewKind::Directory,
            EntryKind::File { len, content } => NewKind::File(len, content),
            EntryKind::Symlink(target) => {
                self.volume.check_target(target)?;
                NewKind::Symlink(target)
            }
            EntryKind::CharDevice(major, minor) => {
                NewKind::Node(FileKind::CharDevice, (major, minor))
            }
            EntryKind::BlockDevice(major, minor) => {
                NewKind::Node(FileKind::BlockDevice, (major, minor))
            }
            EntryKind::Fifo => NewKind::Node(FileKind::Fifo, (0, 0)),
            EntryKind::Socket => NewKind::Node(FileKind::Socket, (0, 0)),
        };
        let directory = matches!(kind, NewKind::Directory);
        if let Some((existing, _)) = self.volume.lookup(parent, name)? {
            let there = self.volume.named_inode(existing)?.kind();
            if directory && there == Some(FileKind::Directory) {
                return self.adopt(existing, &new);
            }
            self.clear(entry.path, parent, name, existing)?;
        }
        let ino = self.volume.create(parent, name, &new, kind)?;
        if directory {
            self.known.insert(entry.path.to_vec(), ino);
        }
        Ok(())
    }
}

impl Sink for TreeSink<'_> {
    fn entry(&mut self, entry: Entry<'_>) -> Result<()> {
        let len = if let EntryKind::File { len, .. } = &entry.kind { *len } else { 0 };
        self.take(entry)?;
        self.stats.entries += 1;
        self.stats.bytes += len;
        (self.progress)(&self.stats);
        Ok(())
    }
}

/// A path's parent and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}
