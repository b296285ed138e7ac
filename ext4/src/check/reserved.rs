//! Inodes with a number of their own: bad blocks, the journal, reserved descriptors.

use super::checker::{Checker, Met};
use super::finding::{FindingKind as Kind, FindingObject as Object};
use super::inodes::lenient;
use crate::layout::features::{Compat, RoCompat};
use crate::layout::geometry::is_reserved_ino;
use crate::layout::inode::{
    BAD_INO, FLAG_EXTENTS, FLAG_INLINE_DATA, FileKind, Inode, JOURNAL_INO, RESIZE_INO, ROOT_INO,
};
use crate::{Result, le};

/// The doubly indirect pointer of an inode.
const DOUBLY: usize = 13;
/// Offset of `i_links_count`.
const I_LINKS_COUNT: usize = 0x1a;
/// Offset of `i_blocks`.
const I_BLOCKS: usize = 0x1c;
/// Offset of `i_block`.
const I_BLOCK: usize = 0x28;

/// The boot loader's inode, which may be of any type but a directory.
const BOOT_LOADER_INO: u32 = 5;
/// Inodes of quota, whatever the superblock says.
const QUOTA_INOS: [u32; 2] = [3, 4];

/// What files of quota of users, groups and projects begin with.
const QUOTA_MAGICS: [u32; 3] = [0xd9c0_1f11, 0xd9c0_1927, 0xd9c0_3f14];
/// Bytes of the longest file of quota that e2fsck's quota library takes for one.
const LONGEST_QUOTA: u64 = 1 << 31;

/// What an inode is for that has its number from the format or the superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The bad blocks.
    BadBlocks,
    /// The journal, quota or the orphan file: a regular file.
    File,
    /// One of these, without its feature: nothing may be in it.
    Empty,
    /// Reserved, and hardly ever used.
    Reserved,
}

impl Checker<'_> {
    /// What an inode is for; none for the root and for files of users.
    pub(super) fn role(&self, ino: u32) -> Option<Role> {
        let sb = self.fs.superblock();
        let features = sb.features();
        let file = |is: bool| Some(if is { Role::File } else { Role::Empty });
        if ino == ROOT_INO {
            None
        } else if ino == BAD_INO {
            Some(Role::BadBlocks)
        } else if ino == JOURNAL_INO {
            file(sb.s_journal_inum() == ino)
        } else if QUOTA_INOS.contains(&ino) || ino == sb.s_prj_quota_inum() {
            file(features.ro_compat.has(RoCompat::QUOTA) && self.quota_inums().contains(&ino))
        } else if ino == sb.s_orphan_file_inum() {
            file(features.compat.has(Compat::ORPHAN_FILE))
        } else {
            is_reserved_ino(self.fs.geometry(), ino).then_some(Role::Reserved)
        }
    }

    /// Notes who is in use without a name, and looks at the resize inode, which is like no other.
    pub(super) fn reserved(&mut self) -> Result<()> {
        let sb = self.fs.superblock();
        // These may have numbers like any file's.
        let quota = self.quota_inums();
        self.quota_numbers(quota);
        self.quota_files(quota)?;
        let named = [sb.s_journal_inum(), sb.s_orphan_file_inum()].into_iter().chain(quota);
        self.special.extend(named.filter(|ino| *ino >= self.fs.geometry().first_ino));
        for ino in (1..self.fs.geometry().first_ino).filter(|ino| *ino != ROOT_INO) {
            self.inodes.insert(ino, Met { nameless: true, ..Met::default() });
        }
        let object = Object::Inode(RESIZE_INO);
        let mut raw = vec![0; self.fs.geometry().inode_size.into()];
        self.fs.disk().read_at(self.fs.inode_position(RESIZE_INO)?, &mut raw)?;
        let inode = self.parse(RESIZE_INO, &raw)?;
        self.inode_fields(RESIZE_INO, &inode);
        self.low_deletion_time(RESIZE_INO, inode.i_dtime());
        if inode.file_acl() != 0 {
            let (what, found) = ("i_file_acl", inode.file_acl());
            self.findings.tell(Kind::ResizeInode, object.clone(), what, found, 0);
        }
        if !sb.features().compat.has(Compat::RESIZE_INODE) {
            if inode.i_block() != [0; 60] {
                let what = "its map, without the feature,";
                self.findings.tell(Kind::ResizeInode, object.clone(), what, "in use", "empty");
            }
            let typed = inode.i_mode() == 0 || inode.kind() == Some(FileKind::Regular);
            let (sectors, longest) = (inode.sectors(512), self.longest_by_pointers());
            for (what, found, wrong) in [
                ("its type, without the feature,", u64::from(inode.i_mode()), !typed),
                ("i_blocks, without the feature,", sectors, sectors != 0),
                ("i_size, without the feature,", inode.size(), inode.size() > longest),
            ] {
                if wrong {
                    self.findings.tell(Kind::ResizeInode, object.clone(), what, found, 0);
                }
            }
            return Ok(());
        }
        self.resize_inode(&inode)
    }

    /// Of users, groups and projects, as the superblock has them.
    fn quota_inums(&self) -> [u32; 3] {
        let sb = self.fs.superblock();
        [sb.s_usr_quota_inum(), sb.s_grp_quota_inum(), sb.s_prj_quota_inum()]
    }

    /// The superblock's inodes of quota are none of those that are for something else.
    fn quota_numbers(&mut self, numbers: [u32; 3]) {
        for ino in numbers {
            let other = is_reserved_ino(self.fs.geometry(), ino) && !QUOTA_INOS.contains(&ino);
            let taken = other || ino == ROOT_INO || ino > self.fs.geometry().inodes_count;
            if ino != 0 && taken {
                let (kind, what) = (Kind::SuperblockField, "an inode of quota");
                self.findings.tell(kind, Object::Superblock, what, ino, "another");
            }
        }
    }

    /// Files of quota begin with what their kind is known by.
    fn quota_files(&mut self, numbers: [u32; 3]) -> Result<()> {
        let (sb, geometry) = (self.fs.superblock(), self.fs.geometry());
        if !sb.features().ro_compat.has(RoCompat::QUOTA) {
            return Ok(());
        }
        for (ino, magic) in numbers.into_iter().zip(QUOTA_MAGICS) {
            if !(1..=geometry.inodes_count).contains(&ino) {
                continue;
            }
            let mut raw = vec![0; geometry.inode_size.into()];
            self.fs.disk().read_at(self.fs.inode_position(ino)?, &mut raw)?;
            // What is wrong with the record itself is told with all others.
            let inode = lenient(ino, &raw, self.fs.checksums())?;
            let first = self.fs.block_map(ino, &inode).and_then(|mut map| map.run(0));
            let Ok(first) = first else { continue };
            let block = first.physical.map(|block| self.fs.block(block)).transpose()?;
            let block = block.filter(|_| inode.size() >= 8).unwrap_or_default();
            let found: [u32; 2] = [0, 4].map(|at| le::get_or_zero(&block, at));
            if found[0] != magic || found[1] > 1 {
                let what = "the magic and version of a file of quota";
                let (found, expected) = (format_args!("{found:x?}"), format_args!("{magic:x}"));
                self.findings.tell(
                    Kind::SuperblockField,
                    Object::Inode(ino),
                    what,
                    found,
                    expected,
                );
            }
        }
        Ok(())
    }

    fn resize_inode(&mut self, inode: &Inode) -> Result<()> {
        let object = Object::Inode(RESIZE_INO);
        let geometry = self.fs.geometry();
        let mut bad = |what: &'static str, found: u64, expected: u64| {
            self.findings.tell(Kind::ResizeInode, object.clone(), what, found, expected);
        };
        if inode.kind() != Some(FileKind::Regular) {
            bad("its type", inode.i_mode().into(), 0x8000);
        }
        if inode.i_links_count() == 0 {
            bad("i_links_count", 0, 1);
        }
        if inode.has_flag(FLAG_EXTENTS | FLAG_INLINE_DATA) {
            bad("i_flags", inode.i_flags().into(), 0);
        }
        let per_block = u64::from(geometry.block_size / 4);
        let longest = (12 + per_block + per_block * per_block) * u64::from(geometry.block_size);
        if inode.size() > longest {
            bad("i_size", inode.size(), longest);
        }
        let block = inode.i_block();
        let pointers: Vec<u64> =
            block.chunks_exact(4).map(|word| le::get_or_zero::<u32>(word, 0).into()).collect();
        for (n, pointer) in pointers.iter().enumerate() {
            if n != DOUBLY && *pointer != 0 {
                bad("a pointer", *pointer, 0);
            }
        }
        let doubly = pointers.get(DOUBLY).copied().unwrap_or_default();
        if !self.claim(&object, "its block of pointers", doubly, 1) {
            return Ok(());
        }
        let list = self.fs.block(doubly)?;
        let per_block = geometry.block_size / 4;
        let backups: Vec<u64> =
            geometry.backup_groups().skip(1).map(|g| geometry.group_first_block(g)).collect();
        let first = geometry.gdt_blocks();
        let last = first + u32::from(geometry.reserved_gdt_blocks);
        // Nothing but what is reserved stands in either.
        let mut right = vec![0; per_block as usize];
        for n in first..last {
            if let Some(slot) = right.get_mut((n % per_block) as usize) {
                *slot = geometry.gdt_block(n);
            }
        }
        self.pointers_are(&object, "a reserved descriptor block", &list, &right);
        for n in first..last {
            let block = geometry.gdt_block(n);
            if !geometry.is_data_block(block) {
                return Ok(());
            }
            let copies = self.fs.block(block)?;
            let right: Vec<u64> = backups.iter().map(|start| start + 1 + u64::from(n)).collect();
            self.pointers_are(&object, "a copy of a reserved descriptor block", &copies, &right);
        }
        // The last block that the highest pointer maps, of those that lie behind the first levels.
        let per = u64::from(per_block);
        let slots = (first..last).map(|n| u64::from(n) % per).max().unwrap_or_default();
        if let Some(copies) = (backups.len() as u64).checked_sub(1).filter(|_| last > first) {
            let least = (12 + per + slots * per + copies) * u64::from(geometry.block_size);
            if inode.size() < least {
                let expected = format_args!("at least {least}");
                let found = inode.size();
                let kind = Kind::ResizeInode;
                self.findings.tell(kind, object.clone(), "i_size", found, expected);
            }
        }
        let owned = 1 + u64::from(geometry.reserved_gdt_blocks) * (1 + backups.len() as u64);
        let sectors = owned * u64::from(geometry.block_size / 512);
        let found = inode.sectors(geometry.block_size);
        if geometry.cluster_ratio == 1 {
            self.same(Kind::InodeBlocks, object, "i_blocks", found, sectors);
        }
        Ok(())
    }

    /// A block of pointers holds these, and zeros behind them.
    fn pointers_are(&mut self, object: &Object, what: &'static str, block: &[u8], right: &[u64]) {
        let right = right.iter().copied().chain(std::iter::repeat(0));
        for (word, expected) in block.chunks_exact(4).zip(right) {
            let found = u64::from(le::get_or_zero::<u32>(word, 0));
            self.same(Kind::ResizeInode, object.clone(), what, found, expected);
        }
    }

    /// An inode with a number of its own, the root and the resize inode aside: what it may be.
    pub(super) fn special_inode(&mut self, ino: u32, inode: &Inode, role: Role) {
        let object = Object::Inode(ino);
        let kind = inode.kind();
        let typed = match role {
            Role::BadBlocks | Role::Empty => true,
            Role::File => kind == Some(FileKind::Regular),
            Role::Reserved if ino == BOOT_LOADER_INO => kind != Some(FileKind::Directory),
            Role::Reserved => inode.i_mode() == 0,
        };
        if !typed {
            let found = format_args!("{:#o}", inode.i_mode());
            let what = "the type of a reserved inode";
            let expected = if role == Role::File { "a file" } else { "none" };
            self.findings.tell(Kind::InodeMode, object.clone(), what, found, expected);
        }
        let of_quota = role == Role::File && self.quota_inums().contains(&ino);
        if of_quota && inode.size() > LONGEST_QUOTA {
            let (found, expected) = (inode.size(), format_args!("at most {LONGEST_QUOTA}"));
            self.findings.tell(Kind::InodeSize, object.clone(), "i_size", found, expected);
        }
        let used = inode.i_mode() != 0
            || inode.i_uid_lo() != 0
            || inode.i_gid_lo() != 0
            || inode.i_links_count() != 0
            || inode.has_flag(FLAG_INLINE_DATA)
            || inode.i_file_acl_lo() != 0;
        if role == Role::BadBlocks && used {
            let what = "more than the bad blocks";
            self.findings.tell(Kind::InodeMode, object, what, "in it", "absent");
        }
    }

    /// An inode that the journal, quota or the orphan file would have, which there is not.
    pub(super) fn empty_inode(&mut self, ino: u32, raw: &[u8]) {
        let links: u16 = le::get_or_zero(raw, I_LINKS_COUNT);
        let blocks: u32 = le::get_or_zero(raw, I_BLOCKS);
        let pointer: u32 = le::get_or_zero(raw, I_BLOCK);
        if links != 0 || blocks != 0 || pointer != 0 {
            let what = "an inode of the journal, quota or orphans, without the feature,";
            self.findings.tell(Kind::InodeMode, Object::Inode(ino), what, "in use", "empty");
        }
    }
}
