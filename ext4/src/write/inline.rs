//! Directories that lie in their inode: changed there while they fit, then given a block.

use super::directory::Directory;
use super::entry_block::{Form, Named, damaged};
use super::volume::Volume;
use crate::layout::inline::{self, IN_BLOCK, PARENT};
use crate::layout::inode::FileKind;
use crate::{Result, le};

impl Volume {
    /// Entries inside an inode have no checksum of their own.
    fn inline_form(&self) -> Form {
        Form { tail: false, ..self.form() }
    }

    /// The inode and `file_type` a name leads to; `.` and `..` are no entries here.
    pub(super) fn find_inline(&mut self, ino: u32, name: &[u8]) -> Result<Option<(u32, u8)>> {
        let bytes = inline::read(&self.named_inode(ino)?)?;
        let directory = FileKind::Directory.dirent_type();
        match name {
            b"." => return Ok(Some((ino, directory))),
            b".." => return Ok(Some((le::get_or_zero(&bytes, 0), directory))),
            _ => {}
        }
        for part in parts(&bytes) {
            let found = self.inline_form().find(part, name)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Every name but `.` and `..`.
    pub(super) fn inline_names(&mut self, ino: u32) -> Result<Vec<Named>> {
        let bytes = inline::read(&self.named_inode(ino)?)?;
        let mut found = Vec::new();
        for part in parts(&bytes) {
            found.extend(self.inline_form().collect(part)?);
        }
        Ok(found)
    }

    /// Changes the first part in which `change` says that it did something.
    pub(super) fn edit_inline(
        &mut self,
        ino: u32,
        change: impl Fn(Form, &mut [u8]) -> Result<bool>,
    ) -> Result<bool> {
        let form = self.inline_form();
        let mut inode = self.named_inode(ino)?;
        let mut bytes = inline::read(&inode)?;
        let (first, second) = bytes.split_at_mut(IN_BLOCK);
        let first = first.get_mut(PARENT..).unwrap_or_default();
        let changed = change(form, first)? || change(form, second)?;
        if changed {
            inline::write(&mut inode, &bytes)?;
            self.write_inode(ino, &inode)?;
        }
        Ok(changed)
    }

    /// Lets `..` lead to another parent.
    pub(super) fn set_inline_parent(&mut self, ino: u32, parent: u32) -> Result<()> {
        let mut inode = self.named_inode(ino)?;
        let mut block = inode.i_block();
        le::put(&mut block, 0, parent);
        inode.set_i_block(&block);
        self.write_inode(ino, &inode)
    }

    /// Moves what lies in the inode into a first block.
    pub(super) fn convert_inline(&mut self, ino: u32, directory: &mut Directory) -> Result<()> {
        let names = self.inline_names(ino)?;
        let mut inode = self.named_inode(ino)?;
        let parent: u32 = le::get_or_zero(&inode.i_block(), 0);
        inline::remove(&mut inode)?;
        directory.map = self.start_directory(ino, parent, directory.seed)?;
        directory.blocks = 1;
        directory.inline = false;
        inode.set_size(self.geometry.block_size.into());
        self.store_map(ino, &mut inode, &mut directory.map)?;
        self.write_inode(ino, &inode)?;
        let form = self.form();
        let block = self.directory_block(ino, directory, 0)?;
        self.edit_leaf(block, directory.seed, |bytes| {
            for name in &names {
                if form.insert(bytes, name, 0)?.is_none() {
                    return Err(damaged(ino, "what its inode holds does not fit a block"));
                }
            }
            Ok(())
        })
    }
}

/// The two parts of a directory's data: in `i_block` behind the parent's number, and in
/// the attribute.
fn parts(bytes: &[u8]) -> [&[u8]; 2] {
    let (first, second) = bytes.split_at(bytes.len().min(IN_BLOCK));
    [first.get(PARENT..).unwrap_or_default(), second]
}
