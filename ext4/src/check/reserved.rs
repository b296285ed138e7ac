//! Inodes with a number of their own: bad blocks, the journal, reserved descriptors.

use super::checker::{Checker, Met};
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::features::Compat;
use crate::layout::inode::{BAD_INO, FileKind, Inode, RESIZE_INO, ROOT_INO};
use crate::{Result, le};

/// The doubly indirect pointer of an inode.
const DOUBLY: usize = 13;

impl Checker<'_> {
    /// Notes who is in use without a name, and looks at the resize inode, which is like no other.
    pub(super) fn reserved(&mut self) -> Result<()> {
        let sb = self.fs.superblock();
        // These may have numbers like any file's.
        let named = [sb.s_journal_inum(), sb.s_prj_quota_inum()];
        self.special.extend(named.into_iter().filter(|ino| *ino >= self.fs.geometry().first_ino));
        for ino in (1..self.fs.geometry().first_ino).filter(|ino| *ino != ROOT_INO) {
            self.inodes.insert(ino, Met { nameless: true, ..Met::default() });
        }
        let object = Object::Inode(RESIZE_INO);
        let mut raw = vec![0; self.fs.geometry().inode_size.into()];
        self.fs.disk().read_at(self.fs.inode_position(RESIZE_INO)?, &mut raw)?;
        let inode = self.parse(RESIZE_INO, &raw)?;
        self.inode_fields(RESIZE_INO, &inode);
        if inode.file_acl() != 0 {
            let (what, found) = ("i_file_acl", inode.file_acl());
            self.findings.tell(Kind::ResizeInode, object.clone(), what, found, 0);
        }
        if !sb.features().compat.has(Compat::RESIZE_INODE) {
            if inode.i_block() != [0; 60] {
                let what = "its map, without the feature,";
                self.findings.tell(Kind::ResizeInode, object, what, "in use", "empty");
            }
            return Ok(());
        }
        self.resize_inode(&inode)
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

    /// A reserved inode other than the root: what it may be.
    pub(super) fn reserved_inode(&mut self, ino: u32, inode: &Inode) {
        let file = matches!(inode.kind(), Some(FileKind::Regular)) || inode.i_mode() == 0;
        if !file && ino != BAD_INO {
            let found = format_args!("{:#o}", inode.i_mode());
            let what = "the type of a reserved inode";
            self.findings.tell(Kind::InodeMode, Object::Inode(ino), what, found, "a file");
        }
        let journal = self.fs.superblock().s_journal_inum();
        if ino == crate::layout::inode::JOURNAL_INO
            && journal != ino
            && !self.fs.superblock().features().compat.has(Compat::HAS_JOURNAL)
            && (inode.i_links_count() != 0 || inode.i_mode() != 0)
        {
            let what = "the journal's inode, without a journal,";
            self.findings.tell(Kind::Journal, Object::Inode(ino), what, "in use", "empty");
        }
    }
}
