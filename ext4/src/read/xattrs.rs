//! Extended attributes as the system calls would show them.

use super::{Filesystem, ImagePath};
use crate::layout::inline;
use crate::layout::inode::Inode;
use crate::layout::xattr::{self, XattrBlock};
use crate::{Error, Result, Xattr, acl_from_disk};

impl Filesystem {
    /// The extended attributes of `path` itself (a symbolic link in the last
    /// place is not followed), sorted by name.
    ///
    /// # Errors
    /// [`Error::Incompatible`] when a value lies in an inode of its own,
    /// [`Error::NotFound`], and what reading meets.
    pub fn xattrs(&self, path: &ImagePath) -> Result<Vec<Xattr>> {
        let ino = self.resolve(path, false)?;
        self.xattrs_of(ino, &self.inode_in_use(ino)?)
    }

    /// The value of one extended attribute of `path` itself; none when it has not this one.
    ///
    /// # Errors
    /// As [`Self::xattrs`].
    pub fn xattr(&self, path: &ImagePath, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let all = self.xattrs(path)?;
        Ok(all.into_iter().find(|attribute| attribute.name == name).map(|found| found.value))
    }

    /// The extended attributes of an inode, sorted by name.
    ///
    /// # Errors
    /// As [`Self::xattrs`].
    pub fn xattrs_of(&self, ino: u32, inode: &Inode) -> Result<Vec<Xattr>> {
        as_shown(ino, self.raw_xattrs(inode)?)
    }

    /// The attributes in the inode and in its block, as they lie on disk.
    pub(crate) fn raw_xattrs(&self, inode: &Inode) -> Result<Vec<xattr::Xattr>> {
        let mut all = xattr::parse_inode_space(inode.extra_space())?;
        let number = inode.file_acl();
        if number != 0 {
            let block = self.block(number)?;
            all.extend(XattrBlock::parse(&block, number, self.checksums())?.attributes);
        }
        Ok(all)
    }
}

/// Attributes of an inode as the system calls show them, sorted by name.
pub(crate) fn as_shown(ino: u32, raw: Vec<xattr::Xattr>) -> Result<Vec<Xattr>> {
    let mut found = Vec::new();
    for attribute in raw {
        if inline::is_data(&attribute) {
            continue; // the file's own data
        }
        let name = attribute.full_name()?;
        let Some(value) = attribute.value else {
            let feature = format!("ea_inode (an attribute of inode {ino})");
            return Err(Error::Incompatible { feature });
        };
        let is_acl = matches!(attribute.name_index, 2 | 3);
        let value = if is_acl { acl(ino, &value)? } else { value };
        found.push(Xattr { name, value });
    }
    found.sort();
    Ok(found)
}

fn acl(ino: u32, value: &[u8]) -> Result<Vec<u8>> {
    acl_from_disk(value).map_err(|_| Error::Corrupt {
        what: format!("inode {ino}: an access control list in it is damaged"),
    })
}
