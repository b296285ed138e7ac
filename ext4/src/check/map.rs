//! The blocks of an inode: its tree of extents or pointers, and what that says of its size.

use std::ops::Range;

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::extent::{ENTRY_SIZE, Entries, Extent, ExtentNode, ROOT_ENTRIES};
use crate::layout::geometry::is_reserved_ino;
use crate::layout::inode::{BAD_INO, FLAG_EXTENTS, FLAG_INLINE_DATA, FLAG_VERITY, FileKind, Inode};
use crate::{Result, le};

/// Pointers of an inode that lead to data themselves.
const DIRECT: u64 = 12;

/// What the walk over one map has met.
#[derive(Debug, Default)]
struct Walk {
    /// Blocks in all, those of the tree too.
    blocks: u64,
    /// Blocks with data.
    data: u64,
    /// Behind the last block of the file that holds written data; of a directory, any.
    end: u64,
    /// Something of it is damaged, or has another owner.
    damaged: bool,
    unwritten: bool,
}

impl Checker<'_> {
    /// Claims the blocks of an inode; false when its map cannot be trusted.
    pub(super) fn inode_blocks(&mut self, ino: u32, inode: &Inode) -> Result<bool> {
        let mut walk = Walk::default();
        let inline = inode.has_flag(FLAG_INLINE_DATA);
        let mapped = match inode.kind() {
            Some(FileKind::Symlink) => !inode.is_fast_symlink() && !inline,
            Some(FileKind::Regular | FileKind::Directory) => !inline,
            // Those that have no type by right have no blocks; but for that of bad ones.
            None => !inline && (ino == BAD_INO || !is_reserved_ino(self.fs.geometry(), ino)),
            Some(_) => false,
        };
        if mapped && inode.has_flag(FLAG_EXTENTS) {
            self.extent_tree(ino, inode, &mut walk)?;
        } else if mapped && inode.i_block() != [0; 60] {
            self.pointers(ino, inode, &mut walk)?;
        }
        if walk.unwritten && inode.kind() == Some(FileKind::Directory) {
            let what = "an extent of a directory";
            self.findings.tell(Kind::MapNode, Object::Inode(ino), what, "unwritten", "");
            walk.damaged = true;
        }
        // Bad blocks are in use, and counted nowhere.
        if ino != BAD_INO {
            self.counts(ino, inode, &walk);
        }
        Ok(!walk.damaged)
    }

    /// `i_blocks` and `i_size`.
    fn counts(&mut self, ino: u32, inode: &Inode, walk: &Walk) {
        let geometry = self.fs.geometry();
        let block_size = u64::from(geometry.block_size);
        let object = Object::Inode(ino);
        let blocks = walk.blocks + u64::from(self.has_attribute_block(inode));
        if geometry.cluster_ratio == 1 && !walk.damaged {
            let (found, expected) =
                (inode.sectors(geometry.block_size), blocks * (block_size / 512));
            self.same(Kind::InodeBlocks, object.clone(), "i_blocks", found, expected);
        }
        let size = inode.size();
        match inode.kind() {
            Some(FileKind::Directory) if !inode.has_flag(FLAG_INLINE_DATA) => {
                let right = walk.end.saturating_mul(block_size);
                if !walk.damaged || !size.is_multiple_of(block_size) {
                    self.same(Kind::InodeSize, object, "i_size", size, right);
                }
            }
            Some(FileKind::Regular) | None => {
                // A file may go on with holes, and in verity with a tree behind its end.
                let verity = inode.has_flag(FLAG_VERITY);
                if walk.end > size.div_ceil(block_size) && !verity {
                    let found = format_args!("up to block {}", walk.end);
                    let expected = format_args!("{size} bytes");
                    self.findings.tell(
                        Kind::DataBehindEnd,
                        object.clone(),
                        "data",
                        found,
                        expected,
                    );
                }
                let longest = if inode.has_flag(FLAG_EXTENTS) {
                    (1 << 32) * block_size - 1
                } else {
                    self.longest_by_pointers()
                };
                if size > longest {
                    self.findings.tell(Kind::InodeSize, object, "i_size", size, longest);
                }
            }
            _ => {}
        }
    }

    /// Bytes of the longest file without extents.
    pub(super) fn longest_by_pointers(&self) -> u64 {
        let block_size = u64::from(self.fs.geometry().block_size);
        let per_block = block_size / 4;
        (DIRECT + per_block + per_block.pow(2) + per_block.pow(3)) * block_size
    }

    fn extent_tree(&mut self, ino: u32, inode: &Inode, walk: &mut Walk) -> Result<()> {
        let object = Object::Inode(ino);
        let root = ExtentNode::parse(&inode.i_block(), None, None);
        let root = self.findings.note(Kind::MapNode, &object, "the root of its extents", root)?;
        let Some(root) = root else {
            walk.damaged = true;
            return Ok(());
        };
        let seed = self.fs.inode_seed(ino, inode);
        let room = self.fs.geometry().block_size as usize / ENTRY_SIZE - 1;
        // Nodes that wait are numbers: a tree of any width takes little memory.
        let mut waiting: Vec<(u64, u16, Range<u64>)> = Vec::new();
        let mut now = Some((root, 0..u64::MAX, true));
        while let Some((node, range, is_root)) = now.take() {
            let (first, end) = bounds(&node);
            // What an index says of its node is true: the kernel searches by it.
            let begins = is_root || first.is_none_or(|first| first == range.start);
            if !begins || end > range.end {
                let found = format_args!("for blocks {}..{end}", first.unwrap_or_default());
                let expected = format_args!("{}..{}", range.start, range.end);
                let what = "an extent node";
                self.findings.tell(Kind::MapNode, object.clone(), what, found, expected);
                walk.damaged = true;
            }
            let room = if is_root { ROOT_ENTRIES.into() } else { room };
            if usize::from(node.max) + 2 < room {
                let what = "eh_max of a node";
                self.findings.tell(Kind::MapNode, object.clone(), what, node.max, room);
            }
            match node.entries {
                Entries::Leaf(extents) => {
                    for extent in extents {
                        self.extent(&object, inode, &extent, walk);
                    }
                }
                Entries::Index(indexes) => {
                    let mut end = range.end;
                    for index in indexes.iter().rev() {
                        waiting.push((index.leaf, node.depth - 1, index.block.into()..end));
                        end = index.block.into();
                    }
                }
            }
            while let Some((number, depth, range)) = waiting.pop() {
                if !self.claim(&object, "an extent node", number, 1) {
                    walk.damaged = true;
                    continue;
                }
                walk.blocks += 1;
                let block = self.fs.block(number)?;
                if let Some(node) = self.node(number, &block, depth, seed)? {
                    now = Some((node, range, false));
                    break;
                }
                walk.damaged = true;
            }
        }
        Ok(())
    }

    /// A node in a block; a wrong checksum alone is told and passed over.
    fn node(
        &mut self,
        number: u64,
        block: &[u8],
        depth: u16,
        seed: Option<u32>,
    ) -> Result<Option<ExtentNode>> {
        let object = Object::Block(number);
        let Ok(node) = ExtentNode::parse(block, Some(depth), None) else {
            let node = ExtentNode::parse(block, Some(depth), None);
            return self.findings.note(Kind::MapNode, &object, "an extent node", node);
        };
        let summed = ExtentNode::parse(block, Some(depth), seed).map(|_| ());
        self.findings.note(Kind::MapChecksum, &object, "its checksum", summed)?;
        Ok(Some(node))
    }

    fn extent(&mut self, object: &Object, inode: &Inode, extent: &Extent, walk: &mut Walk) {
        if !self.claim(object, "an extent", extent.start, extent.len.into()) {
            walk.damaged = true;
        }
        walk.blocks += u64::from(extent.len);
        walk.data += u64::from(extent.len);
        walk.unwritten |= extent.unwritten;
        if !extent.unwritten || inode.kind() == Some(FileKind::Directory) {
            walk.end = walk.end.max(extent.end());
        }
    }

    fn pointers(&mut self, ino: u32, inode: &Inode, walk: &mut Walk) -> Result<()> {
        let object = Object::Inode(ino);
        let per_block = u64::from(self.fs.geometry().block_size / 4);
        let root = inode.i_block();
        let word = |n: u64| u64::from(le::get_or_zero::<u32>(&root, n as usize * 4));
        // (pointer, levels below it, first block of the file below it), the first last.
        let mut waiting: Vec<(u64, u32, u64)> = Vec::new();
        let mut logical = DIRECT;
        for level in 1..=3_u32 {
            waiting.push((word(11 + u64::from(level)), level, logical));
            logical += per_block.pow(level);
        }
        waiting.reverse();
        waiting.extend((0..DIRECT).rev().map(|n| (word(n), 0, n)));
        let mut run: Range<u64> = 0..0;
        while let Some((pointer, level, logical)) = waiting.pop() {
            if pointer == 0 {
                continue;
            }
            walk.blocks += 1;
            if level == 0 {
                walk.data += 1;
                walk.end = walk.end.max(logical + 1);
                if run.end != pointer {
                    self.run(&object, &run, walk);
                    run = pointer..pointer;
                }
                run.end += 1;
                continue;
            }
            if !self.claim(&object, "a block of pointers", pointer, 1) {
                walk.damaged = true;
                continue;
            }
            let block = self.fs.block(pointer)?;
            let below = per_block.pow(level - 1);
            for (n, bytes) in (0_u64..).zip(block.chunks_exact(4)).collect::<Vec<_>>().iter().rev()
            {
                let pointer = le::get_or_zero::<u32>(bytes, 0);
                if pointer != 0 {
                    waiting.push((pointer.into(), level - 1, logical + n * below));
                }
            }
        }
        self.run(&object, &run, walk);
        Ok(())
    }

    fn run(&mut self, object: &Object, run: &Range<u64>, walk: &mut Walk) {
        if !run.is_empty() && !self.claim(object, "a block", run.start, run.end - run.start) {
            walk.damaged = true;
        }
    }
}

/// The first block of the file that a node names, and the one behind its last.
fn bounds(node: &ExtentNode) -> (Option<u64>, u64) {
    match &node.entries {
        Entries::Leaf(extents) => {
            (extents.first().map(|e| e.block.into()), extents.last().map_or(0, Extent::end))
        }
        Entries::Index(indexes) => (
            indexes.first().map(|i| i.block.into()),
            indexes.last().map_or(0, |i| u64::from(i.block) + 1),
        ),
    }
}
