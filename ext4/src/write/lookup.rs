//! From paths to places: links among the parents are followed, inside the image.

use std::collections::VecDeque;

use super::volume::Volume;
use crate::layout::inline;
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind, Inode, ROOT_INO};
use crate::{Error, ImagePath, Result};

/// Links a path may lead through, as for the kernel.
const MOST_LINKS: u32 = 40;

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
        let mut left: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        // The last component is not resolved; a name stays one.
        let Some(name) = left.pop_back() else {
            return Ok(Place { parent: ROOT_INO, name: Vec::new(), found: Some(ROOT_INO) });
        };
        let parent = self.walk(left, path)?;
        let found = self.lookup(parent, &name)?.map(|(ino, _)| ino);
        Ok(Place { parent, name, found })
    }

    /// The directory a path leads to, links followed in the last place too.
    ///
    /// # Errors
    /// As [`Volume::place`], and [`Error::NotFound`].
    pub(crate) fn directory_at(&mut self, path: &ImagePath) -> Result<u32> {
        self.walk(path.components().map(<[u8]>::to_vec).collect(), path)
    }

    /// Follows components, links included, to a directory.
    fn walk(&mut self, mut left: VecDeque<Vec<u8>>, path: &ImagePath) -> Result<u32> {
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
        Ok(way.last().copied().unwrap_or(ROOT_INO))
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
