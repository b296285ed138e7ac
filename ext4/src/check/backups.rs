//! Copies of the superblock and of descriptors, where they are needed to repair the first ones.

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::Result;
use crate::layout::features::Incompat;
use crate::layout::group::GroupDescriptor;
use crate::layout::superblock::{SUPERBLOCK_SIZE, Superblock};

impl Checker<'_> {
    pub(super) fn backups(&mut self) -> Result<()> {
        self.superblock_copies()?;
        self.descriptor_copies()
    }

    /// What the kernel and tune2fs keep the same in every copy. Counts, times and states differ.
    fn superblock_copies(&mut self) -> Result<()> {
        let geometry = self.fs.geometry();
        let sb = self.fs.superblock();
        for group in geometry.backup_groups().skip(1) {
            let object = Object::Group(group);
            let mut bytes = [0; SUPERBLOCK_SIZE];
            if !geometry.is_data_block(geometry.group_first_block(group)) {
                continue;
            }
            self.fs
                .disk()
                .read_at(geometry.offset(geometry.group_first_block(group)), &mut bytes)?;
            let what = "its copy of the superblock";
            let copy = Superblock::parse(&bytes);
            let copy = self.findings.note(Kind::BackupSuperblock, &object, what, copy)?;
            let Some(copy) = copy else { continue };
            let numbers = |sb: &Superblock| {
                let ignored =
                    Incompat::RECOVER.with(Incompat::INLINE_DATA).with(Incompat::EA_INODE);
                [
                    sb.blocks_count(),
                    sb.s_inodes_count().into(),
                    sb.s_log_block_size().into(),
                    sb.s_blocks_per_group().into(),
                    sb.s_inodes_per_group().into(),
                    sb.inode_size().into(),
                    sb.s_first_data_block().into(),
                    sb.features().incompat.without(ignored).0.into(),
                ]
            };
            for (found, expected) in numbers(&copy).into_iter().zip(numbers(sb)) {
                self.same(Kind::BackupSuperblock, object.clone(), what, found, expected);
            }
            if copy.s_uuid() != sb.s_uuid() {
                self.findings.tell(Kind::BackupSuperblock, object, what, "of another uuid", "");
            }
        }
        Ok(())
    }

    fn descriptor_copies(&mut self) -> Result<()> {
        let geometry = self.fs.geometry();
        let plain = crate::layout::checksum::Checksums {
            group: crate::layout::checksum::GroupChecksum::None,
            ..*self.fs.checksums()
        };
        let mut block = vec![0; geometry.block_size as usize];
        for n in 0..geometry.gdt_blocks() {
            let first = n * geometry.descs_per_block();
            for copy in geometry.gdt_block_backups(n) {
                if !geometry.is_data_block(copy) {
                    continue;
                }
                self.fs.disk().read_at(geometry.offset(copy), &mut block)?;
                let descriptors = block.chunks_exact(geometry.desc_size.max(32).into());
                let originals = self.fs.descriptors().iter().skip(first as usize);
                for ((group, bytes), original) in (first..).zip(descriptors).zip(originals) {
                    let Ok(copy) = GroupDescriptor::parse(bytes, group, &plain) else { continue };
                    let places =
                        |d: &GroupDescriptor| [d.block_bitmap(), d.inode_bitmap(), d.inode_table()];
                    for (found, expected) in places(&copy).into_iter().zip(places(original)) {
                        let what = "a place in a copy of its descriptor";
                        let kind = Kind::BackupDescriptor;
                        self.same(kind, Object::Group(group), what, found, expected);
                    }
                }
            }
        }
        Ok(())
    }
}
