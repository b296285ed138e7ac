//! From paths to places: links among the parents are followed, inside the image.

use std::collections::VecDeque;

use super::volume::Volume;
use crate::layout::inline;
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind, Inode, ROOT_INO};
use crate::{Error, ImagePath, Result};

/// Links a path may lead through, as for the kernel.
const MOST_LINKS: u32 = 40;

/// Ways to directories that are remembered.
const MOST_WAYS: usize = 8;

/// A path that was followed to a directory.
pub(crate) struct Way {
    path: Vec<u8>,
    /// What it led through, links too: while each has the name by which it was met, the path
    /// leads where it did. Names that are added change nothing.
    met: Vec<u32>,
    end: u32,
}

/// Where a path's last component is, or would be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The directory that holds it.
    pub(crate) parent: u32,
    /// Its name there; empty for the root directory.
    pub(crate) name: Vec<u8>,
    /// What is there now.
    pub(crate) found: Option<u32>,
}

impl Volume {
    /// Finds the place of a path; a link in the last place is not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a parent is missing, [`Error::WrongType`] when one
    /// is no directory, [`Error::InvalidPath`] for too many links.
    pub(crate) fn place(&mut self, path: &ImagePath) -> Result<Place> {
        // The last component is not resolved; a name stays one.
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Ok(Place { parent: ROOT_INO, name: Vec::new(), found: Some(ROOT_INO) });
        };
        let parent = self.walk(&parent, path)?;
        let found = self.lookup(parent, name)?.map(|(ino, _)| ino);
        Ok(Place { parent, name: name.to_vec(), found })
    }

    /// The directory a path leads to, links followed in the last place too.
    ///
    /// # Errors
    /// As [`Volume::place`], and [`Error::NotFound`].
    pub(crate) fn directory_at(&mut self, path: &ImagePath) -> Result<u32> {
        self.walk(path, path)
    }

    /// A name of this inode goes or leads elsewhere: paths that led through it may do so, too.
    pub(super) fn forget_ways(&mut self, ino: u32) {
        self.ways.retain(|way| !way.met.contains(&ino));
    }

    /// Follows all of `to`, links included, to a directory, on the way to `path`.
    fn walk(&mut self, to: &ImagePath, path: &ImagePath) -> Result<u32> {
        if let Some(known) = self.ways.iter().find(|way| way.path == to.as_bytes()) {
            return Ok(known.end);
        }
        let mut left: VecDeque<Vec<u8>> = to.components().map(<[u8]>::to_vec).collect();
        let mut met = Vec::new();
        let mut way = vec![ROOT_INO];
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            let here = way.last().copied().unwrap_or(ROOT_INO);
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    way.truncate(way.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let found = self.lookup(here, &name)?;
            let (ino, _) = found.ok_or_else(|| Error::NotFound { path: path.to_string() })?;
            met.push(ino);
            let inode = self.named_inode(ino)?;
            match inode.kind() {
                Some(FileKind::Directory) => way.push(ino),
                Some(FileKind::Symlink) => {
                    links += 1;
                    if links > MOST_LINKS {
                        let reason = "it leads through too many symbolic links";
                        return Err(Error::InvalidPath { path: path.to_string(), reason });
                    }
                    let target = self.link_target(ino, &inode)?;
                    if target.first() == Some(&b'/') {
                        way.truncate(1);
                    }
                    for part in target.split(|byte| *byte == b'/').rev() {
                        left.push_front(part.to_vec());
                    }
                }
                _ => {
                    let reason = "a part of it that must be a directory is none";
                    return Err(Error::WrongType { path: path.to_string(), reason });
                }
            }
        }
        let end = way.last().copied().unwrap_or(ROOT_INO);
        if self.ways.len() >= MOST_WAYS {
            self.ways.remove(0);
        }
        self.ways.push(Way { path: to.as_bytes().to_vec(), met, end });
        Ok(end)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it cannot be one.
    pub(crate) fn link_target(&mut self, ino: u32, inode: &Inode) -> Result<Vec<u8>> {
        let damaged = || Error::Corrupt { what: format!("symbolic link {ino}: it has no target") };
        let len = usize::try_from(inode.size()).map_err(|_| damaged())?;
        let bytes = if inode.is_fast_symlink() {
            inode.i_block().to_vec()
        } else if inode.has_flag(FLAG_INLINE_DATA) {
            inline::read(inode)?
        } else {
            let block = self.load_map(ino, inode)?.block(0).ok_or_else(damaged)?;
            self.blocks.read(block)?.to_vec()
        };
        let target = bytes.get(..len).filter(|target| !target.is_empty());
        target.map(<[u8]>::to_vec).ok_or_else(damaged)
    }
}
