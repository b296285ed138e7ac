//! Giving what is there another name, in another directory too.

use super::batch::Batch;
use super::edit::wrong;
use super::entry_block::{Named, damaged};
use super::lookup::Place;
use super::remove::refuse_verity;
use super::volume::Volume;
use crate::layout::inode::{FileKind, ROOT_INO};
use crate::{ImagePath, Result};

impl Batch {
    /// Moves what is at `from` (a link itself) to `to`, in place of what is there: anything
    /// but a directory makes way for anything but a directory, an empty directory for a
    /// directory. Two names of one file stay as they are, as with rename(2).
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] when `from` or the parent of `to` is missing,
    /// [`crate::Error::WrongType`] for the root, for what cannot make way, and for a directory that
    /// would move below itself, [`crate::Error::TooLarge`] when the new parent can hold no more
    /// directories, [`crate::Error::NoSpace`].
    pub fn rename(&mut self, from: &ImagePath, to: &ImagePath) -> Result<()> {
        self.run(|volume| {
            let (source, ino, inode) = volume.existing(from)?;
            let target = volume.place(to)?;
            for (place, path) in [(&source, from), (&target, to)] {
                if place.name.is_empty() {
                    return Err(wrong(path, "the root directory has no other name"));
                }
            }
            if target.found == Some(ino) {
                return Ok(());
            }
            let kind = inode.kind().ok_or_else(|| damaged(ino, "it is of no kind"))?;
            let directory = kind == FileKind::Directory;
            if directory && volume.lies_below(target.parent, ino)? {
                return Err(wrong(to, "it lies below the directory that would move there"));
            }
            volume.refuse_to_make_way(&target, directory, to)?;
            let crosses = directory && source.parent != target.parent;
            if crosses {
                volume.check_subdirectories(target.parent)?;
            }
            let name = target.name.clone();
            let entry = Named { inode: ino, file_type: kind.dirent_type(), name };
            match target.found {
                Some(old) => {
                    volume.relink(target.parent, &entry)?;
                    volume.drop_replaced(old, target.parent)?;
                }
                None => volume.insert(target.parent, &entry)?,
            }
            volume.unlink(source.parent, &source.name)?;
            if crosses {
                volume.set_parent(ino, target.parent)?;
                volume.count_subdirectory(target.parent)?;
                volume.uncount_subdirectory(source.parent)?;
            }
            let mut moved = volume.named_inode(ino)?;
            moved.set_ctime(volume.now);
            volume.write_inode(ino, &moved)?;
            volume.touch(source.parent)?;
            volume.touch(target.parent)
        })
    }
}

impl Volume {
    /// True when `below` is `ino` or has it among its parents.
    fn lies_below(&mut self, below: u32, ino: u32) -> Result<bool> {
        let mut seen = std::collections::HashSet::new();
        let mut at = below;
        while at != ROOT_INO {
            if at == ino {
                return Ok(true);
            }
            if !seen.insert(at) {
                return Err(damaged(at, "it lies below itself"));
            }
            let above = self.lookup(at, b"..")?;
            at = above.ok_or_else(|| damaged(at, "it has no parent"))?.0;
        }
        Ok(false)
    }

    /// Refuses where what is at the target cannot make way.
    fn refuse_to_make_way(
        &mut self,
        target: &Place,
        directory: bool,
        path: &ImagePath,
    ) -> Result<()> {
        let Some(found) = target.found else { return Ok(()) };
        let inode = self.named_inode(found)?;
        match (inode.kind() == Some(FileKind::Directory), directory) {
            (true, false) => Err(wrong(path, "it is a directory, which is not replaced")),
            (false, true) => {
                Err(wrong(path, "it is no directory, and a directory would move there"))
            }
            (true, true) if !self.names(found)?.is_empty() => {
                Err(wrong(path, "the directory is not empty"))
            }
            (true, true) => Ok(()),
            (false, false) => refuse_verity(&inode),
        }
    }

    /// Drops what made way: its name leads elsewhere already.
    fn drop_replaced(&mut self, old: u32, parent: u32) -> Result<()> {
        let inode = self.named_inode(old)?;
        if inode.kind() != Some(FileKind::Directory) {
            return self.drop_name(old);
        }
        self.delete(old, inode)?;
        self.uncount_subdirectory(parent)
    }

    /// Lets `..` of a directory lead to another parent.
    pub(super) fn set_parent(&mut self, ino: u32, parent: u32) -> Result<()> {
        self.note_written(ino);
        let mut directory = self.take_directory(ino)?;
        if directory.inline {
            self.set_inline_parent(ino, parent)?;
        } else if let Some(root) = &mut directory.root {
            root.parent = parent;
            self.write_node(ino, &directory, 0)?;
        } else {
            let form = self.form();
            let block = self.directory_block(ino, &directory, 0)?;
            let seed = directory.seed;
            let kind = FileKind::Directory.dirent_type();
            if !self.edit_leaf(block, seed, |bytes| form.relink(bytes, b"..", parent, kind))? {
                return Err(damaged(ino, "it has no parent"));
            }
        }
        self.directories.insert(ino, directory);
        Ok(())
    }

    /// One directory less in `parent`.
    pub(super) fn uncount_subdirectory(&mut self, parent: u32) -> Result<()> {
        let mut above = self.named_inode(parent)?;
        // A count of 1 says "too many to count" and stays.
        if above.i_links_count() > 2 {
            above.set_i_links_count(above.i_links_count() - 1);
        }
        self.write_inode(parent, &above)
    }
}
