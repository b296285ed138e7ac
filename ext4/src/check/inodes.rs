//! Every inode in use: its fields, and through others its blocks and attributes.

use super::checker::{Checker, Met, Place};
use super::finding::{FindingKind as Kind, FindingObject as Object};
use super::reserved::Role;
use crate::layout::checksum::{Checksums, GroupChecksum};
use crate::layout::features::{Compat, Incompat, RoCompat};
use crate::layout::geometry::is_reserved_ino;
use crate::layout::group::INODE_UNINIT;
use crate::layout::inline;
use crate::layout::inode::{
    BAD_INO, FLAG_CASEFOLD, FLAG_EA_INODE, FLAG_ENCRYPT, FLAG_EXTENTS, FLAG_HUGE_FILE,
    FLAG_IMMUTABLE, FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode, RESIZE_INO, ROOT_INO,
};
use crate::layout::xattr::parse_inode_space;
use crate::{Result, le};

/// Bytes of a table that are read at once, at least.
const PIECE: usize = 64 << 10;
/// `i_flags`: appended to only.
const FLAG_APPEND: u32 = 0x20;
/// Offset of `i_faddr`, which nobody uses.
const I_FADDR: usize = 0x70;
/// Offset of `i_extra_isize`.
const I_EXTRA_ISIZE: usize = 0x80;

impl Checker<'_> {
    /// Goes through the tables, but for the parts that were never used.
    pub(super) fn inodes(&mut self) -> Result<()> {
        let geometry = self.fs.geometry();
        let size = usize::from(geometry.inode_size);
        let per_piece = (PIECE / size).max(1) as u32;
        let mut bytes = Vec::new();
        for (group, descriptor) in (0..geometry.groups).zip(self.fs.descriptors()) {
            let summed = self.fs.checksums().group != GroupChecksum::None;
            let used = match (summed, descriptor.has_flag(INODE_UNINIT)) {
                (true, true) => 0,
                (true, false) => {
                    // An impossible mark says nothing: all of the table may be in use.
                    let unused = Some(descriptor.itable_unused());
                    let unused = unused.filter(|unused| *unused <= geometry.inodes_per_group);
                    geometry.inodes_per_group - unused.unwrap_or_default()
                }
                (false, _) => geometry.inodes_per_group,
            };
            let mut index = 0;
            while index < used {
                let count = per_piece.min(used - index);
                bytes.resize(size * count as usize, 0);
                let at = geometry.inode_offset(descriptor.inode_table(), index);
                self.fs.disk().read_at(at, &mut bytes)?;
                for (n, raw) in (index..).zip(bytes.chunks_exact(size)) {
                    let ino = group.saturating_mul(geometry.inodes_per_group).saturating_add(n + 1);
                    self.record(ino, raw)?;
                }
                index += count;
            }
        }
        self.root()
    }

    fn root(&mut self) -> Result<()> {
        let is = self.inodes.get(&ROOT_INO).and_then(|met| met.kind);
        if is != Some(FileKind::Directory) {
            let what = "the root";
            self.findings.tell(Kind::InodeMode, Object::Inode(ROOT_INO), what, "no directory", "");
        }
        Ok(())
    }

    /// One record of a table.
    fn record(&mut self, ino: u32, raw: &[u8]) -> Result<()> {
        let listed = self.orphans.contains(&ino);
        let role = self.role(ino);
        let links: u16 = le::get_or_zero(raw, 0x1a);
        let mode: u16 = le::get_or_zero(raw, 0);
        let dtime: u32 = le::get_or_zero(raw, 0x14);
        if role == Some(Role::Empty) {
            self.empty_inode(ino, raw);
        }
        if !listed && (links == 0 || role.is_some()) {
            self.low_deletion_time(ino, dtime);
        }
        if ino == RESIZE_INO {
            return Ok(());
        }
        if listed && mode == 0 {
            let what = "an orphan";
            self.findings.tell(Kind::Orphan, Object::Inode(ino), what, "not in use", "");
            return Ok(());
        }
        let reserved = is_reserved_ino(self.fs.geometry(), ino);
        if links == 0 && !listed && !reserved {
            if mode != 0 && dtime == 0 {
                let what = "i_dtime of an inode that is not in use";
                self.findings.tell(Kind::DeletionTime, Object::Inode(ino), what, 0, "set");
            }
            return Ok(());
        }
        // Of those that were never used not even the checksum need be made.
        if reserved && raw.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let inode = self.parse(ino, raw)?;
        if role == Some(Role::Empty) && links == 0 {
            self.inode_fields(ino, &inode);
            return Ok(());
        }
        self.inode(ino, &inode, listed, role)
    }

    /// Those of a list hold the next one's number in place of a time: one that is on none is
    /// a rest of a list that was damaged. Unless the filesystem's clock stood at its beginning.
    pub(super) fn low_deletion_time(&mut self, ino: u32, dtime: u32) {
        let sb = self.fs.superblock();
        let count = sb.s_inodes_count();
        let early = [sb.s_wtime(), sb.s_mtime(), sb.s_mkfs_time()];
        if dtime != 0 && dtime < count && !early.iter().any(|time| (1..count).contains(time)) {
            let what = "i_dtime, an inode's number,";
            self.findings.tell(Kind::DeletionTime, Object::Inode(ino), what, dtime, "");
        }
    }

    /// The inode, whatever is wrong with its checksum or its size.
    pub(super) fn parse(&mut self, ino: u32, raw: &[u8]) -> Result<Inode> {
        let sums = self.fs.checksums();
        let object = Object::Inode(ino);
        let inode = lenient(ino, raw, sums)?;
        if inode.as_bytes() == raw {
            let summed = Inode::parse(ino, raw, sums).map(|_| ());
            self.findings.note(Kind::InodeChecksum, &object, "its checksum", summed)?;
        } else {
            let extra: u16 = le::get_or_zero(raw, I_EXTRA_ISIZE);
            self.findings.tell(Kind::InodeField, object, "i_extra_isize", extra, "");
        }
        Ok(inode)
    }

    fn inode(&mut self, ino: u32, inode: &Inode, listed: bool, role: Option<Role>) -> Result<()> {
        let object = Object::Inode(ino);
        let reserved = is_reserved_ino(self.fs.geometry(), ino);
        let kind = inode.kind();
        let values = self.fs.superblock().features().incompat.has(Incompat::EA_INODE);
        let value = values && inode.has_flag(FLAG_EA_INODE);
        let nameless = reserved
            || self.special.contains(&ino)
            || value
            || listed && inode.i_links_count() == 0;
        let met = Met { kind, links: inode.i_links_count(), nameless, value, ..Met::default() };
        self.inodes.insert(ino, met);
        if let Some(role) = role {
            self.special_inode(ino, inode, role);
        } else if kind.is_none() {
            let found = format_args!("{:#o}", inode.i_mode());
            self.findings.tell(Kind::InodeMode, object.clone(), "its type", found, "");
        }
        if ino == self.fs.superblock().s_journal_inum() {
            self.journal_inode(ino, inode)?;
        }
        if inode.i_dtime() != 0 && !listed && role.is_none() && inode.i_links_count() != 0 {
            let dtime = inode.i_dtime();
            self.findings.tell(Kind::DeletionTime, object.clone(), "i_dtime", dtime, 0);
        }
        self.inode_fields(ino, inode);
        if inode.has_flag(FLAG_INLINE_DATA) {
            self.inline_data(&object, inode);
        }
        let unmapped = !self.inode_blocks(ino, inode)?;
        if kind == Some(FileKind::Symlink) && !unmapped {
            self.symlink(ino, inode)?;
        }
        // Of those that have no name only a block of attributes that exists is looked at.
        let there = self.has_attribute_block(inode);
        if role.is_none() || there && role != Some(Role::BadBlocks) {
            self.inode_xattrs(ino, inode)?;
        } else if !there && inode.file_acl() != 0 {
            let (what, found) = ("i_file_acl", inode.file_acl());
            self.findings.tell(Kind::InodeField, object, what, found, 0);
        }
        if let Some(met) = self.inodes.get_mut(&ino) {
            met.unmapped = unmapped;
        }
        if kind == Some(FileKind::Directory) && !reserved {
            self.directories.insert(ino, Place::default());
        }
        Ok(())
    }

    /// The kernel finds data in an inode by its attribute, which is there though it be empty.
    fn inline_data(&mut self, object: &Object, inode: &Inode) {
        let attributes = parse_inode_space(inode.extra_space()).unwrap_or_default();
        let data = attributes.iter().find(|attribute| inline::is_data(attribute));
        let Some(data) = data else {
            let what = "the attribute of the data in it";
            self.findings.tell(Kind::InlineData, object.clone(), what, "missing", "");
            return;
        };
        let room = (inline::IN_BLOCK + data.value.as_ref().map_or(0, Vec::len)) as u64;
        if inode.size() > room {
            let (what, found) = ("the data in it", inode.size());
            self.findings.tell(Kind::InlineData, object.clone(), what, found, room);
        }
    }

    /// The target is as long as the inode says: no byte of it is zero, and one follows.
    fn symlink(&mut self, ino: u32, inode: &Inode) -> Result<()> {
        let object = Object::Inode(ino);
        let target = self.fs.link_target(ino, inode);
        let what = "the target of a symbolic link";
        let target = self.findings.note(Kind::Symlink, &object, what, target)?;
        let Some(target) = target.filter(|_| !inode.has_flag(FLAG_ENCRYPT)) else { return Ok(()) };
        let (fast, block);
        let whole: &[u8] = if inode.is_fast_symlink() {
            fast = inode.i_block();
            &fast
        } else if inode.has_flag(FLAG_INLINE_DATA) {
            return Ok(());
        } else {
            let run = self.fs.block_map(ino, inode).and_then(|mut map| map.run(0));
            let Some(at) = run.ok().and_then(|run| run.physical) else { return Ok(()) };
            block = self.fs.block(at)?;
            &block
        };
        let end = whole.get(target.len());
        if end != Some(&0) {
            self.findings.tell(Kind::Symlink, object, what, "longer than i_size", inode.size());
        }
        Ok(())
    }

    pub(super) fn inode_fields(&mut self, ino: u32, inode: &Inode) {
        let object = Object::Inode(ino);
        let features = self.fs.superblock().features();
        let kind = inode.kind();
        let directory = kind == Some(FileKind::Directory);
        let bytes = inode.as_bytes();
        let flag = |flag| inode.has_flag(flag);
        let extents = features.incompat.has(Incompat::EXTENTS);
        let data = features.incompat.has(Incompat::INLINE_DATA);
        let special = matches!(
            kind,
            Some(FileKind::BlockDevice | FileKind::CharDevice | FileKind::Fifo | FileKind::Socket)
        );
        let extra = inode.i_extra_isize();
        let wrong: &[(&str, bool)] = &[
            ("the flag `extents`, without the feature,", flag(FLAG_EXTENTS) && !extents),
            ("the flag `inline_data`, without the feature,", flag(FLAG_INLINE_DATA) && !data),
            ("the flags `extents` and `inline_data`", flag(FLAG_EXTENTS) && flag(FLAG_INLINE_DATA)),
            ("the flag `index` of no directory", flag(FLAG_INDEX) && !directory && ino != BAD_INO),
            (
                "the flag `index`, without the feature,",
                flag(FLAG_INDEX) && directory && !features.compat.has(Compat::DIR_INDEX),
            ),
            (
                "the flag `huge_file`, without the feature,",
                flag(FLAG_HUGE_FILE) && !features.ro_compat.has(RoCompat::HUGE_FILE),
            ),
            (
                "the flag `encrypt`, without the feature,",
                flag(FLAG_ENCRYPT) && !features.incompat.has(Incompat::ENCRYPT),
            ),
            (
                "the flag `casefold`, without the feature,",
                flag(FLAG_CASEFOLD) && !features.incompat.has(Incompat::CASEFOLD),
            ),
            ("the flag `casefold` of no directory", flag(FLAG_CASEFOLD) && !directory),
            (
                "the flag `ea_inode`, without the feature,",
                flag(FLAG_EA_INODE) && !features.incompat.has(Incompat::EA_INODE),
            ),
            (
                "the flag `immutable` or `append` of a device, FIFO, socket or symbolic link",
                (special || kind == Some(FileKind::Symlink)) && flag(FLAG_IMMUTABLE | FLAG_APPEND),
            ),
            (
                "a map of a device, FIFO or socket",
                special
                    && (flag(FLAG_EXTENTS | FLAG_INLINE_DATA)
                        || inode.i_block().iter().skip(8).any(|byte| *byte != 0)),
            ),
            ("i_faddr", le::get_or_zero::<u32>(bytes, I_FADDR) != 0),
            (
                "i_blocks_high, without the feature `huge_file`,",
                inode.i_blocks_high() != 0 && !features.ro_compat.has(RoCompat::HUGE_FILE),
            ),
            (
                "i_file_acl_high, without the feature `64bit`,",
                inode.i_file_acl_high() != 0 && !features.incompat.has(Incompat::SIXTY_FOUR_BIT),
            ),
            ("i_extra_isize", bytes.len() > 128 && extra != 0 && extra < 4),
        ];
        for (what, _) in wrong.iter().filter(|(_, wrong)| *wrong) {
            self.findings.tell(Kind::InodeField, object.clone(), what, "set", "");
        }
        let large = kind == Some(FileKind::Regular) && inode.size() >> 31 != 0;
        if large && !features.ro_compat.has(RoCompat::LARGE_FILE) {
            let (what, found) = ("i_size, without the feature `large_file`,", inode.size());
            self.findings.tell(Kind::InodeSize, object.clone(), what, found, "below 2 GiB");
        }
        if special && inode.size() != 0 {
            let what = "i_size of a device, FIFO or socket";
            self.findings.tell(Kind::InodeSize, object.clone(), what, inode.size(), 0);
        }
        if directory && inode.i_size_high() != 0 && !features.incompat.has(Incompat::LARGEDIR) {
            let what = "i_size_high of a directory";
            self.findings.tell(Kind::InodeSize, object, what, inode.i_size_high(), 0);
        }
    }
}

/// An inode whatever its checksum and `i_extra_isize` say; of one that is impossible nothing
/// is left.
pub(super) fn lenient(ino: u32, raw: &[u8], sums: &Checksums) -> Result<Inode> {
    let unsummed = Checksums { metadata: false, ..*sums };
    Inode::parse(ino, raw, &unsummed).or_else(|_| {
        let mut mended = raw.to_vec();
        le::put(&mut mended, I_EXTRA_ISIZE, 0_u16);
        Inode::parse(ino, mended, &unsummed)
    })
}
