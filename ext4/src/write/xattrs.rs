//! Extended attributes on their way to disk: in the inode while there is room, the
//! rest in a block.

use super::volume::Volume;
use crate::ingest::{Xattr, acl_to_disk};
use crate::layout::features::{Compat, RoCompat};
use crate::layout::inline;
use crate::layout::inode::{FLAG_INLINE_DATA, Inode};
use crate::layout::xattr::{self, XattrBlock, encode_inode_space, inode_space_needed};
use crate::{Error, Result};

impl Volume {
    /// Gives an inode these attributes in the place of all it had; data inside it
    /// stays there, and before them. `i_blocks` is counted anew by the caller.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they do not fit, [`Error::Source`] for a name that
    /// ext4 does not know, [`Error::NoSpace`].
    pub(crate) fn set_attributes(
        &mut self,
        group: u32,
        inode: &mut Inode,
        attributes: &[Xattr],
    ) -> Result<()> {
        let attributes = to_disk(attributes)?;
        let room = inode.extra_space().len();
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        if inode.has_flag(FLAG_INLINE_DATA) {
            inside = xattr::parse_inode_space(inode.extra_space())?;
            inside.retain(inline::is_data);
        }
        for attribute in attributes {
            inside.push(attribute);
            if inode_space_needed(&inside) > room {
                outside.extend(inside.pop());
            }
        }
        let block_size = self.geometry.block_size;
        if !XattrBlock::fits(&outside, block_size) {
            return Err(Error::TooLarge {
                what: "the extended attributes of one inode".to_owned(),
                limit: u64::from(block_size),
            });
        }
        self.release_attribute_block(inode)?;
        if room > 0 {
            encode_inode_space(inode.extra_space_mut(), &inside)?;
        }
        if !outside.is_empty() {
            let block = self.allocate_block(self.goal(group))?;
            let checksums = self.checksums;
            XattrBlock { refcount: 1, attributes: outside }.encode_into(
                self.blocks.fresh(block)?,
                block,
                &checksums,
            )?;
            inode.set_file_acl(block);
            self.add_features(Compat::EXT_ATTR, RoCompat::default());
        }
        Ok(())
    }

    /// Gives up an inode's block of attributes; others may still share it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is none.
    pub(crate) fn release_attribute_block(&mut self, inode: &mut Inode) -> Result<()> {
        let block = inode.file_acl();
        if block == 0 {
            return Ok(());
        }
        if !self.geometry.is_data_block(block) {
            return Err(Error::Corrupt {
                what: format!("extended attributes in block {block}, which cannot hold them"),
            });
        }
        let checksums = self.checksums;
        let mut held = XattrBlock::parse(self.blocks.read(block)?, block, &checksums)?;
        if held.refcount > 1 {
            held.refcount -= 1;
            held.encode_into(self.blocks.edit(block)?, block, &checksums)?;
        } else {
            self.free_run(block..block + 1)?;
        }
        inode.set_file_acl(0);
        Ok(())
    }
}

/// Attributes with their lists in the disk's form, one a name.
fn to_disk(attributes: &[Xattr]) -> Result<Vec<xattr::Xattr>> {
    let mut found: Vec<xattr::Xattr> = Vec::with_capacity(attributes.len());
    for Xattr { name, value } in attributes {
        let value = if name.starts_with(b"system.posix_acl_") {
            acl_to_disk(value)?
        } else {
            value.clone()
        };
        let known = xattr::Xattr::from_full_name(name, value);
        // Data inside an inode lies in an attribute, too, but is none that can be set.
        let attribute = known.filter(|found| !inline::is_data(found));
        let attribute = attribute.ok_or_else(|| Error::Source {
            what: format!("the attribute {}: ext4 has no such kind", name.escape_ascii()),
            source: None,
        })?;
        let same = |known: &xattr::Xattr| {
            known.name_index == attribute.name_index && known.name == attribute.name
        };
        found.retain(|known| !same(known));
        found.push(attribute);
    }
    Ok(found)
}
