//! The superblock against itself, where descriptors point, the journal, multiple mount protection.

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::journal::JournalLocation;
use crate::layout::checksum::{GroupChecksum, crc32c};
use crate::layout::features::{Compat, Incompat, RoCompat};
use crate::layout::group::{BLOCK_UNINIT, INODE_UNINIT, INODE_ZEROED};
use crate::layout::inode::{FileKind, Inode};
use crate::layout::superblock::STATE_ERROR;
use crate::{Error, Result, le};

/// Blocks that fast commits must leave to the log.
const LEAST_LOG: u64 = 1024;
/// `mmp_magic`.
const MMP_MAGIC: u32 = 0x004d_4d50;
/// The only `s_encoding` there is: UTF-8 as of Unicode 12.1.
const ENCODING_UTF8: u16 = 1;
/// Bytes of the block of multiple mount protection that its checksum covers.
const MMP_COVERED: usize = 1020;

impl Checker<'_> {
    pub(super) fn superblock(&mut self) -> Result<()> {
        self.fields();
        self.places();
        self.journal()?;
        self.mmp()
    }

    fn fields(&mut self) {
        let sb = self.fs.superblock();
        let mut at_most = |what, found: u64, most: u64| {
            if found > most {
                let expected = format_args!("at most {most}");
                self.findings.tell(
                    Kind::SuperblockField,
                    Object::Superblock,
                    what,
                    found,
                    expected,
                );
            }
        };
        let room = u64::from(sb.inode_size()) - 128;
        at_most("s_r_blocks_count", sb.r_blocks_count(), sb.blocks_count() / 2);
        for (what, extra) in [
            ("s_min_extra_isize", sb.s_min_extra_isize()),
            ("s_want_extra_isize", sb.s_want_extra_isize()),
        ] {
            at_most(what, extra.into(), room);
            // It covers itself and half a checksum, in whole words; in short inodes nothing.
            if room > 0 && !extra.is_multiple_of(4) {
                at_most(what, extra.into(), u64::from(extra) & !3);
            }
        }
        let features = sb.features();
        if !features.compat.has(Compat::RESIZE_INODE) && !features.incompat.has(Incompat::META_BG) {
            at_most("s_reserved_gdt_blocks", sb.s_reserved_gdt_blocks().into(), 0);
        }
        if !features.compat.has(Compat::HAS_JOURNAL) {
            at_most("s_journal_inum without a journal", sb.s_journal_inum().into(), 0);
            let asks = u64::from(features.incompat.has(Incompat::RECOVER));
            at_most("needs_recovery without a journal", asks, 0);
        }
        let (incompat, ro) = (features.incompat, features.ro_compat);
        let resizes = features.compat.has(Compat::RESIZE_INODE);
        for (what, wrong) in [
            (
                "`uninit_bg` beside `metadata_csum`",
                ro.has(RoCompat::GDT_CSUM) && ro.has(RoCompat::METADATA_CSUM),
            ),
            (
                "`metadata_csum_seed` without `metadata_csum`",
                incompat.has(Incompat::CSUM_SEED) && !ro.has(RoCompat::METADATA_CSUM),
            ),
            (
                "`64bit` without `extent`",
                incompat.has(Incompat::SIXTY_FOUR_BIT) && !incompat.has(Incompat::EXTENTS),
            ),
            ("`resize_inode` beside `meta_bg`", resizes && incompat.has(Incompat::META_BG)),
        ] {
            if wrong {
                self.findings.tell(Kind::SuperblockField, Object::Superblock, what, "set", "");
            }
        }
        // Without clusters the fields that describe them say the same as those of blocks.
        if !features.ro_compat.has(RoCompat::BIGALLOC) {
            for (what, found, expected) in [
                ("s_log_cluster_size", sb.s_log_cluster_size(), sb.s_log_block_size()),
                ("s_clusters_per_group", sb.s_clusters_per_group(), sb.s_blocks_per_group()),
            ] {
                self.same(Kind::SuperblockField, Object::Superblock, what, found, expected);
            }
        }
        // Neither the kernel nor e2fsck goes on with an encoding that it does not know.
        if features.incompat.has(Incompat::CASEFOLD) {
            let (what, found) = ("s_encoding", sb.s_encoding());
            self.same(Kind::SuperblockField, Object::Superblock, what, found, ENCODING_UTF8);
        }
        if sb.s_state() & STATE_ERROR != 0 {
            let what = "s_state";
            self.findings.tell(Kind::ErrorState, Object::Superblock, what, "in error", "clean");
        }
    }

    /// Without `flex_bg` a group's metadata lies in the group; flags must be known ones.
    fn places(&mut self) {
        let geometry = self.fs.geometry();
        let flexible = self.fs.superblock().features().incompat.has(Incompat::FLEX_BG);
        let summed = self.fs.checksums().group != GroupChecksum::None;
        for (group, descriptor) in (0..geometry.groups).zip(self.fs.descriptors()) {
            let first = geometry.group_first_block(group);
            let end = first + u64::from(geometry.group_blocks(group));
            for (what, place, len) in [
                ("its block bitmap's place", descriptor.block_bitmap(), 1),
                ("its inode bitmap's place", descriptor.inode_bitmap(), 1),
                ("its inode table's place", descriptor.inode_table(), geometry.itable_blocks()),
            ] {
                let inside = place >= first && place + u64::from(len) <= end;
                if !flexible && !inside {
                    let expected = format_args!("in {first}..{end}");
                    let object = Object::Group(group);
                    self.findings.tell(Kind::MetadataPlace, object, what, place, expected);
                }
            }
            let flags = descriptor.bg_flags();
            let known =
                if summed { INODE_UNINIT | BLOCK_UNINIT | INODE_ZEROED } else { INODE_ZEROED };
            if flags & !known != 0 {
                let found = format_args!("{flags:#x}");
                let object = Object::Group(group);
                self.findings.tell(Kind::GroupFlags, object, "bg_flags", found, "");
            }
            if summed && descriptor.itable_unused() > geometry.inodes_per_group {
                let (what, found) = ("bg_itable_unused", descriptor.itable_unused());
                let most = geometry.inodes_per_group;
                self.findings.tell(Kind::UnusedInodes, Object::Group(group), what, found, most);
            }
            if !summed && descriptor.itable_unused() != 0 {
                let (what, found) = ("bg_itable_unused", descriptor.itable_unused());
                self.findings.tell(Kind::UnusedInodes, Object::Group(group), what, found, 0);
            }
            if summed && group + 1 == geometry.groups && descriptor.has_flag(BLOCK_UNINIT) {
                let (what, found) = ("the last group's block bitmap", "not initialised");
                self.findings.tell(Kind::GroupFlags, Object::Group(group), what, found, "");
            }
        }
    }

    fn journal(&mut self) -> Result<()> {
        let found = match JournalLocation::find(self.fs) {
            // On another device: nothing of it lies here.
            Err(Error::Incompatible { .. })
                if self.fs.superblock().s_journal_inum() == 0
                    && self.fs.superblock().s_journal_dev() != 0 =>
            {
                None
            }
            found => {
                let what = "its place or superblock";
                self.findings.note(Kind::Journal, &Object::Journal, what, found)?.flatten()
            }
        };
        let Some(journal) = found else { return Ok(()) };
        let asked = self.fs.superblock().features().incompat.has(Incompat::RECOVER);
        let start = journal.superblock.s_start();
        if start != 0 && !asked {
            let what = "s_start, with nobody to replay it";
            self.findings.tell(Kind::Journal, Object::Journal, what, start, 0);
        }
        let divided = journal.superblock.fast_commit_blocks() > 0;
        if divided && journal.superblock.log_end() < LEAST_LOG {
            let found = journal.superblock.log_end();
            let expected = format_args!("at least {LEAST_LOG}");
            self.findings.tell(Kind::Journal, Object::Journal, "its length", found, expected);
        }
        let errno = journal.superblock.s_errno();
        self.same(Kind::Journal, Object::Journal, "s_errno", errno, 0);
        Ok(())
    }

    fn mmp(&mut self) -> Result<()> {
        let sb = self.fs.superblock();
        if !sb.features().incompat.has(Incompat::MMP) {
            return Ok(());
        }
        let number = sb.s_mmp_block();
        let object = Object::Block(number);
        let block = self.fs.block(number);
        let what = "the block of multiple mount protection";
        let Some(block) = self.findings.note(Kind::Mmp, &object, what, block)? else {
            return Ok(());
        };
        self.claim(&object, what, number, 1);
        if le::get::<u32>(&block, 0) != Some(MMP_MAGIC) {
            self.findings.tell(Kind::Mmp, object, "its magic", "wrong", "");
            return Ok(());
        }
        let sums = self.fs.checksums();
        let sum = crc32c(sums.seed, block.get(..MMP_COVERED).unwrap_or_default());
        if sums.metadata && le::get::<u32>(&block, MMP_COVERED) != Some(sum) {
            self.findings.tell(Kind::Mmp, object, "its checksum", "wrong", "");
        }
        Ok(())
    }

    /// The journal's inode must be a file of its own: told apart from what reading it says.
    pub(super) fn journal_inode(&mut self, ino: u32, inode: &Inode) -> Result<()> {
        if inode.kind() != Some(FileKind::Regular) {
            let what = "the type of the journal's inode";
            self.findings.tell(Kind::Journal, Object::Inode(ino), what, "another", "a file");
        }
        let block_size = u64::from(self.fs.geometry().block_size);
        if !inode.size().is_multiple_of(block_size) {
            let (what, found) = ("i_size of the journal", inode.size());
            self.findings.tell(Kind::Journal, Object::Inode(ino), what, found, "whole blocks");
        }
        // As far as it has blocks one after the other; a hole or an error ends it.
        let mut end = 0_u64;
        if let Ok(mut map) = self.fs.block_map(ino, inode) {
            let most = self.fs.geometry().blocks_count;
            while end < most && end.saturating_mul(block_size) < inode.size() {
                match map.run(end) {
                    Ok(run) if run.physical.is_some() && run.len > 0 => end += run.len,
                    Err(error @ Error::Io { .. }) => return Err(error),
                    _ => break,
                }
            }
        }
        if end.saturating_mul(block_size) < inode.size() {
            let (what, found) = ("i_size of the journal", inode.size());
            let expected = format_args!("at most {}", end.saturating_mul(block_size));
            self.findings.tell(Kind::Journal, Object::Inode(ino), what, found, expected);
        }
        Ok(())
    }
}
