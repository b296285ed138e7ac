//! Extended attributes of what is there: all at once, or one by one.

use super::batch::Batch;
use super::edit::wrong;
use super::file_map::FileMap;
use super::remove::refuse_verity;
use super::volume::Volume;
use crate::layout::inode::{FileKind, Inode};
use crate::layout::xattr::{self, XattrBlock};
use crate::read::as_shown;
use crate::{Acl, AclError, Error, ImagePath, Result, Xattr};

/// The list that decides who may do what with an entry.
const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that a directory gives to what is made in it.
const DEFAULT: &[u8] = b"system.posix_acl_default";
/// What the bits of a mode are to a list.
const PERMISSIONS: u16 = 0o777;

impl Volume {
    /// The attributes in the inode and in its block, as they lie on disk.
    fn raw_attributes(&mut self, inode: &Inode) -> Result<Vec<xattr::Xattr>> {
        let mut all = xattr::parse_inode_space(inode.extra_space())?;
        let number = inode.file_acl();
        if number != 0 {
            let checksums = self.checksums;
            let block = self.blocks.read(number)?;
            all.extend(XattrBlock::parse(block, number, &checksums)?.attributes);
        }
        Ok(all)
    }

    /// The attributes of an inode as the system calls show them, sorted by name.
    fn attributes(&mut self, ino: u32, inode: &Inode) -> Result<Vec<Xattr>> {
        as_shown(ino, self.raw_attributes(inode)?)
    }

    /// Gives an inode these attributes in the place of all it had.
    fn replace_attributes(
        &mut self,
        ino: u32,
        inode: &mut Inode,
        attributes: &[Xattr],
    ) -> Result<()> {
        let map =
            if Self::is_mapped(inode) { self.load_map(ino, inode)? } else { FileMap::default() };
        let (group, _) = self.geometry.inode_place(ino)?;
        self.set_attributes(group, inode, attributes)?;
        self.count_blocks(inode, &map);
        Ok(())
    }

    /// A mode that was set counts: the access list of an inode says the same from now on.
    pub(super) fn give_mode_to_acl(&mut self, ino: u32, inode: &mut Inode) -> Result<()> {
        if inode.file_acl() == 0 && xattr::parse_inode_space(inode.extra_space())?.is_empty() {
            return Ok(());
        }
        let mut all = self.attributes(ino, inode)?;
        let Some(list) = all.iter_mut().find(|attribute| attribute.name == ACCESS) else {
            return Ok(());
        };
        let acl = Acl::from_system(&list.value).map_err(|error| damaged(ino, &error))?;
        let changed = acl.with_mode(inode.i_mode() & PERMISSIONS).to_system();
        if list.value == changed {
            return Ok(());
        }
        list.value = changed;
        self.replace_attributes(ino, inode, &all)
    }
}

fn damaged(ino: u32, error: &AclError) -> Error {
    Error::Corrupt { what: format!("inode {ino}: {error}") }
}

impl Batch {
    /// Gives what is there these extended attributes in place of all it had; a link
    /// in the last place is not followed, and the mode stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`] when they do not fit, [`Error::Source`]
    /// for a name ext4 does not know.
    pub fn set_xattrs(&mut self, path: &ImagePath, attributes: &[Xattr]) -> Result<()> {
        self.run(|volume| {
            let (_, ino, mut inode) = volume.existing(path)?;
            refuse_verity(&inode)?;
            volume.replace_attributes(ino, &mut inode, attributes)?;
            inode.set_ctime(volume.now);
            volume.write_inode(ino, &inode)
        })
    }

    /// Sets one extended attribute of what is there, as setxattr(2) does by root: an access
    /// list sets the mode too, and is not kept when it says no more than that.
    ///
    /// # Errors
    /// As [`Batch::set_xattrs`]; [`Error::Source`] for a list that is none, [`Error::WrongType`]
    /// for a list that this type of entry cannot have.
    pub fn set_xattr(&mut self, path: &ImagePath, name: &[u8], value: &[u8]) -> Result<()> {
        self.run(|volume| {
            let (_, ino, mut inode) = volume.existing(path)?;
            refuse_verity(&inode)?;
            let mut all = volume.attributes(ino, &inode)?;
            all.retain(|attribute| attribute.name != name);
            let mut keep = true;
            if name == ACCESS || name == DEFAULT {
                let acl = Acl::from_system(value)
                    .map_err(|error| Error::Source { what: error.to_string(), source: None })?;
                match inode.kind() {
                    Some(FileKind::Symlink) => {
                        return Err(wrong(path, "a symbolic link has no access control list"));
                    }
                    Some(FileKind::Directory) => {}
                    _ if name == DEFAULT => {
                        return Err(wrong(path, "only a directory has a default list"));
                    }
                    _ => {}
                }
                if name == ACCESS {
                    inode.set_i_mode(inode.i_mode() & !PERMISSIONS | acl.mode());
                    keep = !acl.is_only_mode();
                }
            }
            if keep {
                all.push(Xattr { name: name.to_vec(), value: value.to_vec() });
            }
            volume.replace_attributes(ino, &mut inode, &all)?;
            inode.set_ctime(volume.now);
            volume.write_inode(ino, &inode)
        })
    }

    /// Removes one extended attribute; false when it was not there.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the entry, and what reading meets.
    pub fn remove_xattr(&mut self, path: &ImagePath, name: &[u8]) -> Result<bool> {
        self.run(|volume| {
            let (_, ino, mut inode) = volume.existing(path)?;
            refuse_verity(&inode)?;
            let mut all = volume.attributes(ino, &inode)?;
            let before = all.len();
            all.retain(|attribute| attribute.name != name);
            if all.len() == before {
                return Ok(false);
            }
            volume.replace_attributes(ino, &mut inode, &all)?;
            inode.set_ctime(volume.now);
            volume.write_inode(ino, &inode)?;
            Ok(true)
        })
    }

    /// The extended attributes of what is there, sorted by name; a link in the last place is
    /// not followed.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what reading meets.
    pub fn xattrs(&mut self, path: &ImagePath) -> Result<Vec<Xattr>> {
        self.run(|volume| {
            let (_, ino, inode) = volume.existing(path)?;
            volume.attributes(ino, &inode)
        })
    }
}
