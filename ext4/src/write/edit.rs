//! The single changes a batch can make.

use std::io::Read;

use super::batch::{Attributes, Batch};
use super::create::{NewInode, NewKind, dress, refuse_more_names};
use super::entry_block::Named;
use super::lookup::Place;
use super::remove::refuse_verity;
use super::volume::Volume;
use crate::ingest::{Content, Stream, Times};
use crate::layout::inode::{FileKind, Inode, ROOT_INO};
use crate::{Error, ImagePath, Result};

/// What is neither file, directory nor link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A character device, major and minor number.
    CharDevice(u32, u32),
    /// A block device, major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

pub(super) fn wrong(path: &ImagePath, reason: &'static str) -> Error {
    Error::WrongType { path: path.to_string(), reason }
}

impl Volume {
    fn new_inode(&self, attributes: Attributes) -> NewInode<'static> {
        let Attributes { mode, uid, gid } = attributes;
        NewInode { mode, uid, gid, times: self.now.into(), xattrs: &[] }
    }

    /// The place of a path that is there.
    pub(super) fn existing(&mut self, path: &ImagePath) -> Result<(Place, u32, Inode)> {
        let place = self.place(path)?;
        let ino = place.found.ok_or_else(|| Error::NotFound { path: path.to_string() })?;
        let inode = self.named_inode(ino)?;
        Ok((place, ino, inode))
    }

    /// The place of a path where something that is no directory is to stand.
    fn replaceable(&mut self, path: &ImagePath) -> Result<Place> {
        let place = self.place(path)?;
        if place.name.is_empty() {
            return Err(wrong(path, "the root directory cannot be replaced"));
        }
        if let Some(ino) = place.found {
            let inode = self.named_inode(ino)?;
            if inode.kind() == Some(FileKind::Directory) {
                return Err(wrong(path, "it is a directory, which is not replaced"));
            }
            refuse_verity(&inode)?;
        }
        Ok(place)
    }

    /// Makes an inode at a place, in the stead of what is there.
    fn put(&mut self, place: &Place, new: &NewInode<'_>, kind: NewKind<'_>) -> Result<()> {
        let file_type = kind.file_kind().dirent_type();
        match place.found {
            Some(old) => {
                let inode = self.create_inode(place.parent, new, kind)?;
                let name = place.name.clone();
                self.relink(place.parent, &Named { inode, file_type, name })?;
                self.drop_name(old)?;
            }
            None => {
                self.create(place.parent, &place.name, new, kind)?;
            }
        }
        self.touch(place.parent)
    }

    /// A directory's content changed now.
    pub(super) fn touch(&mut self, ino: u32) -> Result<()> {
        let mut inode = self.named_inode(ino)?;
        inode.set_mtime(self.now);
        inode.set_ctime(self.now);
        self.write_inode(ino, &inode)
    }

    fn set_owner_and_mode(&mut self, ino: u32, mut inode: Inode, to: Attributes) -> Result<()> {
        let kind = inode.kind().unwrap_or(FileKind::Regular);
        let times = Times { accessed: inode.atime(), modified: inode.mtime(), changed: self.now };
        dress(&mut inode, kind, &NewInode { times, ..self.new_inode(to) });
        self.give_mode_to_acl(ino, &mut inode)?;
        self.write_inode(ino, &inode)
    }
}

impl Batch {
    /// Makes a directory, or gives the one that is there these attributes. A link
    /// that leads to a directory counts as that directory (`/sbin` on most systems).
    ///
    /// # Errors
    /// [`Error::NotFound`] when the parent is missing, [`Error::WrongType`] when
    /// something else is there, [`Error::NoSpace`].
    pub fn make_directory(&mut self, path: &ImagePath, attributes: Attributes) -> Result<()> {
        self.run(|volume| {
            let place = volume.place(path)?;
            if place.found.is_none() {
                let new = volume.new_inode(attributes);
                volume.create(place.parent, &place.name, &new, NewKind::Directory)?;
                return volume.touch(place.parent);
            }
            let ino = volume.directory_at(path)?;
            let inode = volume.named_inode(ino)?;
            volume.set_owner_and_mode(ino, inode, attributes)
        })
    }

    /// Makes a directory and every missing parent; those that are there already
    /// stay as they are, the last included.
    ///
    /// # Errors
    /// As [`Batch::make_directory`].
    pub fn make_directories(&mut self, path: &ImagePath, attributes: Attributes) -> Result<()> {
        let mut at = ImagePath::root();
        for name in path.components() {
            at = at.join(name)?;
            let found = self.run(|volume| Ok(volume.place(&at)?.found))?;
            match found {
                None => self.make_directory(&at, attributes)?,
                Some(_) => {
                    self.run(|volume| volume.directory_at(&at))?;
                }
            }
        }
        Ok(())
    }

    /// Whether anything has this name, a link that leads nowhere included: asked of the
    /// batch as it is, which [`Batch::exists`] and [`Batch::lstat`] bring into order first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the parent is missing, and what reading meets.
    pub fn is_there(&mut self, path: &ImagePath) -> Result<bool> {
        self.run(|volume| Ok(volume.place(path)?.found.is_some()))
    }

    /// Creates a file, or replaces what is there: a file (whose other names keep
    /// the old content), a link itself, a device. Links among the parents are followed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the parent is missing, [`Error::WrongType`] for a
    /// directory in its place, [`Error::NoSpace`].
    pub fn write_file(
        &mut self,
        path: &ImagePath,
        attributes: Attributes,
        content: &[u8],
    ) -> Result<()> {
        let mut reader = content;
        self.write_file_from(path, attributes, content.len() as u64, &mut reader)
    }

    /// As [`Batch::write_file`], with `len` bytes from a reader.
    ///
    /// # Errors
    /// As [`Batch::write_file`], and [`Error::Source`] when the reader fails or ends
    /// before `len` bytes.
    pub fn write_file_from(
        &mut self,
        path: &ImagePath,
        attributes: Attributes,
        len: u64,
        reader: &mut dyn Read,
    ) -> Result<()> {
        self.write_file_with(path, attributes, len, &mut Stream::new(reader))
    }

    /// As [`Batch::write_file`], with `len` bytes of content whose holes stay holes.
    ///
    /// # Errors
    /// As [`Batch::write_file_from`].
    pub fn write_file_with(
        &mut self,
        path: &ImagePath,
        attributes: Attributes,
        len: u64,
        content: &mut dyn Content,
    ) -> Result<()> {
        self.run(|volume| {
            let place = volume.replaceable(path)?;
            let new = volume.new_inode(attributes);
            volume.put(&place, &new, NewKind::File(len, content))
        })
    }

    /// Makes a symbolic link, in place of whatever is there but a directory. The
    /// target is kept as it is given.
    ///
    /// # Errors
    /// As [`Batch::write_file`], and [`Error::TooLarge`] for a target beyond one
    /// block.
    pub fn symlink(&mut self, path: &ImagePath, target: &[u8], uid: u32, gid: u32) -> Result<()> {
        self.run(|volume| {
            volume.check_target(target)?;
            let place = volume.replaceable(path)?;
            let new = volume.new_inode(Attributes { mode: 0o777, uid, gid });
            volume.put(&place, &new, NewKind::Symlink(target))
        })
    }

    /// Gives what is at `existing` (a link itself, not what it leads to) one more
    /// name, in place of whatever is there but a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] for directories,
    /// [`Error::TooLarge`] beyond 65,000 names.
    pub fn hard_link(&mut self, existing: &ImagePath, path: &ImagePath) -> Result<()> {
        self.run(|volume| {
            let (_, ino, inode) = volume.existing(existing)?;
            if inode.kind() == Some(FileKind::Directory) {
                return Err(wrong(existing, "a directory cannot have two names"));
            }
            let place = volume.replaceable(path)?;
            if place.found == Some(ino) {
                return Ok(());
            }
            refuse_more_names(&inode)?;
            if let Some(found) = place.found {
                volume.unlink(place.parent, &place.name)?;
                volume.drop_name(found)?;
            }
            volume.link(place.parent, &place.name, ino)?;
            volume.touch(place.parent)
        })
    }

    /// Makes a device, pipe or socket, in place of whatever is there but a directory.
    ///
    /// # Errors
    /// As [`Batch::write_file`].
    pub fn make_node(
        &mut self,
        path: &ImagePath,
        attributes: Attributes,
        node: Node,
    ) -> Result<()> {
        self.run(|volume| {
            let place = volume.replaceable(path)?;
            let new = volume.new_inode(attributes);
            let (kind, device) = match node {
                Node::CharDevice(major, minor) => (FileKind::CharDevice, (major, minor)),
                Node::BlockDevice(major, minor) => (FileKind::BlockDevice, (major, minor)),
                Node::Fifo => (FileKind::Fifo, (0, 0)),
                Node::Socket => (FileKind::Socket, (0, 0)),
            };
            volume.put(&place, &new, NewKind::Node(kind, device))
        })
    }

    /// Sets mode and owners of what is there; nothing is created, and a link in the
    /// last place is not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what reading meets.
    pub fn set_attributes(&mut self, path: &ImagePath, attributes: Attributes) -> Result<()> {
        self.run(|volume| {
            let (_, ino, inode) = volume.existing(path)?;
            volume.set_owner_and_mode(ino, inode, attributes)
        })
    }

    /// Makes the root directory 0:0 with mode 0755: it becomes `/root` in a guest,
    /// and sshd's StrictModes looks at it.
    ///
    /// # Errors
    /// What reading meets.
    pub fn fix_root(&mut self) -> Result<()> {
        self.run(|volume| {
            let inode = volume.named_inode(ROOT_INO)?;
            let to = Attributes { mode: 0o755, uid: 0, gid: 0 };
            volume.set_owner_and_mode(ROOT_INO, inode, to)
        })
    }

    /// Sets all three times of what is there; a link in the last place is not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what reading meets.
    pub fn set_times(&mut self, path: &ImagePath, times: Times) -> Result<()> {
        self.run(|volume| {
            let (_, ino, mut inode) = volume.existing(path)?;
            inode.set_atime(times.accessed);
            inode.set_mtime(times.modified);
            inode.set_ctime(times.changed);
            volume.write_inode(ino, &inode)
        })
    }

    /// Removes a file, link, node or empty directory.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] for a directory that is not empty
    /// and for the root.
    pub fn remove(&mut self, path: &ImagePath) -> Result<()> {
        self.take_away(path, false)
    }

    /// Removes whatever is there, with everything below it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongType`] for the root.
    pub fn remove_recursive(&mut self, path: &ImagePath) -> Result<()> {
        self.take_away(path, true)
    }

    fn take_away(&mut self, path: &ImagePath, recursive: bool) -> Result<()> {
        self.run(|volume| {
            let (place, ino, inode) = volume.existing(path)?;
            if place.name.is_empty() {
                return Err(wrong(path, "the root directory cannot be removed"));
            }
            let text = path.to_string();
            if inode.kind() != Some(FileKind::Directory) {
                refuse_verity(&inode)?;
                volume.unlink(place.parent, &place.name)?;
                volume.drop_name(ino)?;
                return volume.touch(place.parent);
            }
            if recursive {
                volume.remove_tree(place.parent, &place.name, ino, &text)
            } else {
                volume.remove_directory(place.parent, &place.name, ino, &text)
            }
        })
    }
}
