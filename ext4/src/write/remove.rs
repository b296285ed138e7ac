//! Removing names, and what they led to once the last one is gone.

use super::volume::Volume;
use crate::layout::inode::{FLAG_VERITY, FileKind, Inode};
use crate::{Error, Result};

impl Volume {
    /// True when the inode's data lies in blocks.
    pub(crate) fn is_mapped(inode: &Inode) -> bool {
        match inode.kind() {
            Some(FileKind::Regular | FileKind::Directory) => true,
            Some(FileKind::Symlink) => !inode.is_fast_symlink(),
            _ => false,
        }
    }

    /// Takes away one name of what is no directory; with the last, the inode goes.
    ///
    /// # Errors
    /// [`Error::Incompatible`] for a file with verity, and what reading meets.
    pub(crate) fn drop_name(&mut self, ino: u32) -> Result<()> {
        let mut inode = self.named_inode(ino)?;
        refuse_verity(&inode)?;
        if inode.i_links_count() > 1 {
            inode.set_i_links_count(inode.i_links_count() - 1);
            inode.set_ctime(self.now);
            return self.write_inode(ino, &inode);
        }
        self.delete(ino, inode)
    }

    /// Takes back everything an inode has, and itself.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it has what cannot be its.
    pub(crate) fn delete(&mut self, ino: u32, mut inode: Inode) -> Result<()> {
        if ino < self.geometry.first_ino {
            return Err(Error::Corrupt { what: format!("inode {ino} is reserved and has a name") });
        }
        if Self::is_mapped(&inode) {
            let map = self.load_map(ino, &inode)?;
            self.free_map(&map)?;
        }
        self.release_attribute_block(&mut inode)?;
        self.directories.remove(&ino);
        self.free_inode(ino, &inode, inode.kind() == Some(FileKind::Directory))
    }

    /// Removes an empty directory under its only name.
    ///
    /// # Errors
    /// [`Error::WrongType`] when it is not empty.
    pub(crate) fn remove_directory(
        &mut self,
        parent: u32,
        name: &[u8],
        ino: u32,
        path: &str,
    ) -> Result<()> {
        if !self.names(ino)?.is_empty() {
            let reason = "the directory is not empty";
            return Err(Error::WrongType { path: path.to_owned(), reason });
        }
        let inode = self.named_inode(ino)?;
        self.unlink(parent, name)?;
        self.delete(ino, inode)?;
        self.uncount_subdirectory(parent)?;
        self.touch(parent)
    }

    /// Removes a directory and all that lies below it.
    ///
    /// # Errors
    /// What removing its parts meets.
    pub(crate) fn remove_tree(
        &mut self,
        parent: u32,
        name: &[u8],
        ino: u32,
        path: &str,
    ) -> Result<()> {
        /// Directories that are open, each with what is left in it.
        struct Open {
            parent: u32,
            name: Vec<u8>,
            ino: u32,
            left: Vec<(Vec<u8>, u32)>,
        }
        let mut seen = std::collections::HashSet::from([ino]);
        let left = |volume: &mut Self, ino| -> Result<Vec<(Vec<u8>, u32)>> {
            let names = volume.names(ino)?;
            Ok(names.into_iter().map(|entry| (entry.name, entry.inode)).collect())
        };
        let first = left(self, ino)?;
        let mut open = vec![Open { parent, name: name.to_vec(), ino, left: first }];
        while let Some(top) = open.last_mut() {
            let here = top.ino;
            let Some((name, below)) = top.left.pop() else {
                let Some(done) = open.pop() else { break };
                self.remove_directory(done.parent, &done.name, done.ino, path)?;
                continue;
            };
            if self.named_inode(below)?.kind() == Some(FileKind::Directory) {
                if !seen.insert(below) {
                    return Err(Error::Corrupt {
                        what: format!("directory {below} has two names"),
                    });
                }
                let left = left(self, below)?;
                open.push(Open { parent: here, name, ino: below, left });
            } else {
                self.unlink(here, &name)?;
                self.drop_name(below)?;
            }
        }
        Ok(())
    }
}

pub(super) fn refuse_verity(inode: &Inode) -> Result<()> {
    if inode.has_flag(FLAG_VERITY) {
        return Err(Error::Incompatible { feature: "verity on a file to be changed".to_owned() });
    }
    Ok(())
}
