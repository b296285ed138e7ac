//! Taking entries in: each replaces what stands at its path, as tar does.

use std::collections::HashMap;

use super::create::{NewInode, NewKind, dress};
use super::volume::Volume;
use crate::ingest::{Entry, EntryKind, Sink, Xattr, shown};
use crate::layout::inode::{FileKind, ROOT_INO};
use crate::{Error, ImagePath, Result};

/// Bytes of the longest path that is taken in: a longer one could not be named in the
/// guest, and every folder of it is one more to walk (`PATH_MAX` less its NUL).
const LONGEST_PATH: usize = 4095;
/// Bytes of the paths that are remembered.
const REMEMBERED: usize = 16 << 20;

/// What becomes of the owners that entries name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// They are kept.
    Keep,
    /// Everything belongs to 0:0.
    Root,
    /// Everything belongs to this user and this group.
    To(u32, u32),
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
    /// Bytes of these paths.
    remembered: usize,
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
            remembered: 0,
        }
    }

    /// The directory at a path below the top. Missing ones are made, 0755 0:0,
    /// when `make` is set; `None` when one is missing otherwise.
    fn directory(&mut self, path: &[u8], make: bool) -> Result<Option<u32>> {
        let (mut ino, mut done) = self.deepest_known(path);
        // Not by recursion: how deep it goes is for the source to say.
        while done < path.len() {
            let start = if done == 0 { 0 } else { done + 1 };
            let rest = path.get(start..).unwrap_or_default();
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            done = start + name.len();
            let here = path.get(..done).unwrap_or_default();
            ino = match self.volume.lookup(ino, name)? {
                Some((found, _)) => match self.volume.named_inode(found)?.kind() {
                    Some(FileKind::Directory) => found,
                    Some(FileKind::Symlink) => self.volume.directory_at(&self.inside(here)?)?,
                    _ => {
                        let reason = "it is no directory, and an entry lies below it";
                        return Err(Error::WrongType { path: shown(here), reason });
                    }
                },
                None if make => {
                    let times = self.volume.now.into();
                    let new = NewInode { mode: 0o755, uid: 0, gid: 0, times, xattrs: &[] };
                    self.volume.create(ino, name, &new, NewKind::Directory)?
                }
                None => return Ok(None),
            };
            self.remember(here, ino);
        }
        Ok(Some(ino))
    }

    /// How far a path is known: the directory that it leads to, and its length up to there.
    fn deepest_known(&self, path: &[u8]) -> (u32, usize) {
        let mut end = path.len();
        while end > 0 {
            let here = path.get(..end).unwrap_or_default();
            if let Some(ino) = self.known.get(here) {
                return (*ino, end);
            }
            end = here.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        }
        (self.top, 0)
    }

    fn remember(&mut self, path: &[u8], ino: u32) {
        if self.remembered + path.len() > REMEMBERED {
            self.forget();
        }
        self.remembered += path.len();
        self.known.insert(path.to_vec(), ino);
    }

    fn forget(&mut self) {
        self.known.clear();
        self.remembered = 0;
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
        check_length(target)?;
        let refused = |reason: &str| Error::Source {
            what: format!("{}: {reason} {}", shown(path), shown(target)),
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
            let path = shown(path);
            self.volume.remove_directory(parent, name, existing, &path)?;
        } else {
            self.volume.unlink(parent, name)?;
            self.volume.drop_name(existing)?;
        }
        // A path may have led through it.
        self.forget();
        Ok(())
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<()> {
        let (uid, gid) = match self.ownership {
            Ownership::Keep => (entry.uid, entry.gid),
            Ownership::Root => (0, 0),
            Ownership::To(uid, gid) => (uid, gid),
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
        check_length(entry.path)?;
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
            self.remember(entry.path, ino);
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

/// Refuses a path that is too long, before anything is made of it.
fn check_length(path: &[u8]) -> Result<()> {
    if path.len() > LONGEST_PATH {
        let what = format!("the path {} ({} bytes)", shown(path), path.len());
        return Err(Error::TooLarge { what, limit: LONGEST_PATH as u64 });
    }
    Ok(())
}

/// A path's parent and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}
