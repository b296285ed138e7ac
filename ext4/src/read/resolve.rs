//! From a path to an inode: symbolic links are followed inside the image only.

use std::collections::VecDeque;

use super::{Filesystem, ImagePath};
use crate::layout::inode::{FileKind, Inode, ROOT_INO};
use crate::{Error, Result};

/// Symbolic links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;

/// The place where a path's last name stands or would stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Inode of the directory.
    pub ino: u32,
    /// The directory itself.
    pub inode: Inode,
    /// The last name.
    pub name: Vec<u8>,
    /// What stands there now.
    pub existing: Option<u32>,
}

impl Filesystem {
    /// The inode `path` leads to; `follow` says whether a symbolic link in
    /// the last place is followed. Links elsewhere always are.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] for a parent that is no
    /// directory, [`Error::InvalidPath`] for a loop of links, and what
    /// reading meets.
    pub fn resolve(&self, path: &ImagePath, follow: bool) -> Result<u32> {
        let names: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let way = self.follow(path, names, follow)?;
        way.last().copied().ok_or_else(|| not_found(path))
    }

    /// The directory that holds (or would hold) the last name of `path`, links
    /// among the parents followed, the last name itself not.
    ///
    /// # Errors
    /// As [`Self::resolve`], but the last name may be missing; and
    /// [`Error::InvalidPath`] for the root, which has no name.
    pub fn resolve_parent(&self, path: &ImagePath) -> Result<Parent> {
        let Some(name) = path.name().map(<[u8]>::to_vec) else {
            let reason = "the root directory has no name";
            return Err(Error::InvalidPath { path: path.to_string(), reason });
        };
        let above = path.parent().unwrap_or_else(ImagePath::root);
        let ino = self.resolve(&above, true)?;
        let inode = self.inode_in_use(ino)?;
        if inode.kind() != Some(FileKind::Directory) {
            return Err(not_a_directory(path));
        }
        let existing = self.lookup(ino, &inode, &name)?;
        Ok(Parent { ino, inode, name, existing })
    }

    /// Walks the names from the root; the inodes on the way, the root first.
    /// `..` (met in targets of links) goes back on this way, so that nothing
    /// depends on what directories say of their parents.
    fn follow(
        &self,
        path: &ImagePath,
        mut names: VecDeque<Vec<u8>>,
        follow_last: bool,
    ) -> Result<Vec<u32>> {
        let mut way = vec![ROOT_INO];
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            let here = way.last().copied().unwrap_or(ROOT_INO);
            let directory = self.inode_in_use(here)?;
            if directory.kind() != Some(FileKind::Directory) {
                return Err(not_a_directory(path));
            }
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    way.truncate(way.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let Some(ino) = self.lookup(here, &directory, &name)? else {
                return Err(not_found(path));
            };
            let inode = self.inode_in_use(ino)?;
            if inode.kind() != Some(FileKind::Symlink) || names.is_empty() && !follow_last {
                way.push(ino);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                let reason = "it leads through more than 40 symbolic links";
                return Err(Error::InvalidPath { path: path.to_string(), reason });
            }
            let target = self.link_target(ino, &inode)?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            for part in target.split(|byte| *byte == b'/').rev() {
                names.push_front(part.to_vec());
            }
        }
        Ok(way)
    }
}

fn not_found(path: &ImagePath) -> Error {
    Error::NotFound { path: path.to_string() }
}

fn not_a_directory(path: &ImagePath) -> Error {
    let reason = "a part of it before the last is no directory";
    Error::WrongType { path: path.to_string(), reason }
}
