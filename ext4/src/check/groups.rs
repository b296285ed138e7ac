//! Bitmaps and counts of every group against what was met.

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::Result;
use crate::layout::bitmap;
use crate::layout::checksum::GroupChecksum;
use crate::layout::geometry::{is_reserved_ino, synthesise_inode_bitmap};
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT};
use crate::layout::inode::FileKind;

impl Checker<'_> {
    pub(super) fn groups(&mut self) -> Result<()> {
        let geometry = self.fs.geometry();
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for (group, descriptor) in (0..geometry.groups).zip(self.fs.descriptors()) {
            free_blocks += u64::from(descriptor.free_blocks_count());
            free_inodes += u64::from(descriptor.free_inodes_count());
            self.group_blocks(group, descriptor)?;
            self.group_inodes(group, descriptor)?;
        }
        let sb = self.fs.superblock();
        // Until it is unmounted the kernel leaves the superblock's counts as they were.
        let clean = sb.s_state() & crate::layout::superblock::STATE_VALID != 0;
        let dirty = sb.features().incompat.has(crate::layout::features::Incompat::RECOVER);
        if clean && !dirty {
            let blocks = free_blocks * u64::from(geometry.cluster_ratio);
            let kind = Kind::SuperblockCount;
            let found = sb.free_blocks_count();
            self.same(kind, Object::Superblock, "the number of free blocks", found, blocks);
            let found = u64::from(sb.s_free_inodes_count());
            self.same(kind, Object::Superblock, "the number of free inodes", found, free_inodes);
        }
        Ok(())
    }

    fn group_blocks(&mut self, group: u32, descriptor: &GroupDescriptor) -> Result<()> {
        let geometry = self.fs.geometry();
        let object = Object::Group(group);
        // Under bigalloc nobody has counted who has which clusters.
        let counted = geometry.cluster_ratio == 1;
        let (expected, touched) = self.claims.map(group);
        let len = geometry.group_blocks(group).div_ceil(geometry.cluster_ratio);
        let free = bitmap::count_clear(&expected, len);
        if counted {
            self.findings.blocks += u64::from(len - free);
        }
        let summed = self.fs.checksums().group != GroupChecksum::None;
        if summed && descriptor.has_flag(BLOCK_UNINIT) {
            if touched && counted {
                let what = "its block bitmap";
                let found = "not initialised, with blocks in use";
                self.findings.tell(Kind::BlockBitmap, object.clone(), what, found, "");
            }
        } else {
            let bits = geometry.clusters_per_group;
            let map = self.fs.block(descriptor.block_bitmap())?;
            let sum = bitmap::check_block_bitmap(&map, bits, descriptor, self.fs.checksums());
            if sum.is_err() {
                let what = "the checksum of its block bitmap";
                self.findings.tell(Kind::BitmapChecksum, object.clone(), what, "wrong", "");
            }
            if counted {
                let what = "its block bitmap";
                self.differences(Kind::BlockBitmap, group, what, &map, &expected, len);
            }
            let end = geometry.block_size * 8;
            self.padding(group, "the padding of its block bitmap", &map, len..end);
        }
        if counted {
            let says = descriptor.free_blocks_count();
            self.same(Kind::GroupCount, object, "the number of its free blocks", says, free);
        }
        Ok(())
    }

    fn group_inodes(&mut self, group: u32, descriptor: &GroupDescriptor) -> Result<()> {
        let geometry = self.fs.geometry();
        let object = Object::Group(group);
        let len = geometry.inodes_per_group;
        let mut expected = synthesise_inode_bitmap(geometry);
        let (mut directories, mut last, mut any) = (0, None, false);
        let first = group.saturating_mul(len).saturating_add(1);
        for (ino, met) in self.inodes.range(first..=first.saturating_add(len - 1)) {
            bitmap::set(&mut expected, ino - first);
            directories += u32::from(met.kind == Some(FileKind::Directory));
            if !is_reserved_ino(geometry, *ino) || met.links > 0 {
                last = Some(ino - first);
            }
            any = true;
        }
        let free = bitmap::count_clear(&expected, len);
        let summed = self.fs.checksums().group != GroupChecksum::None;
        if summed && descriptor.has_flag(INODE_UNINIT) {
            if any {
                let what = "its inode bitmap";
                let found = "not initialised, with inodes in use";
                self.findings.tell(Kind::InodeBitmap, object.clone(), what, found, "");
            }
        } else {
            let map = self.fs.block(descriptor.inode_bitmap())?;
            let sum = bitmap::check_inode_bitmap(&map, len, descriptor, self.fs.checksums());
            if sum.is_err() {
                let what = "the checksum of its inode bitmap";
                self.findings.tell(Kind::BitmapChecksum, object.clone(), what, "wrong", "");
            }
            self.differences(Kind::InodeBitmap, group, "its inode bitmap", &map, &expected, len);
            let end = geometry.block_size * 8;
            self.padding(group, "the padding of its inode bitmap", &map, len..end);
        }
        let says = descriptor.free_inodes_count();
        let kind = Kind::GroupCount;
        self.same(kind, object.clone(), "the number of its free inodes", says, free);
        let says = descriptor.used_dirs_count();
        self.same(kind, object.clone(), "the number of its directories", says, directories);
        // The kernel takes what lies behind this mark for never used.
        let unused = len.saturating_sub(descriptor.itable_unused());
        if summed && last.is_some_and(|last| last >= unused) {
            let what = "bg_itable_unused, which covers an inode in use,";
            let says = descriptor.itable_unused();
            self.findings.tell(Kind::UnusedInodes, object, what, says, "");
        }
        Ok(())
    }

    fn padding(&mut self, group: u32, what: &'static str, map: &[u8], bits: std::ops::Range<u32>) {
        if bits.into_iter().any(|index| !bitmap::is_set(map, index)) {
            self.findings.tell(Kind::BitmapPadding, Object::Group(group), what, "clear", "set");
        }
    }

    /// Tells the first bit that differs, and how many do.
    fn differences(
        &mut self,
        kind: Kind,
        group: u32,
        what: &'static str,
        found: &[u8],
        expected: &[u8],
        len: u32,
    ) {
        let differs = |n: &u32| bitmap::is_set(found, *n) != bitmap::is_set(expected, *n);
        if let Some(first) = (0..len).find(differs) {
            let count = (first..len).filter(differs).count();
            let set = bitmap::is_set(expected, first);
            let (is, should) = if set { ("free", "in use") } else { ("in use", "free") };
            let found = format_args!("wrong in {count} bits, the first {first} {is}");
            self.findings.tell(kind, Object::Group(group), what, found, should);
        }
    }
}
