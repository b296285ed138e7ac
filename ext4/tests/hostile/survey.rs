//! What lies where in a whole image, so that damage can be aimed.

use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::layout::checksum::Checksums;
use banger_ext4::layout::geometry::Geometry;
use banger_ext4::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode};
use banger_ext4::{Disk, Filesystem, MemoryDisk};

/// An inode in use.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) ino: u32,
    pub(crate) kind: Option<FileKind>,
    /// Byte offset of its record.
    pub(crate) at: usize,
    pub(crate) generation: u32,
}

/// What a block of metadata is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A node of a tree of extents.
    ExtentNode,
    /// A block of pointers.
    Pointers,
    Leaf,
    IndexRoot,
    IndexNode,
    Xattrs,
    OrphanFile,
}

/// A block of metadata, and the inode it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) what: What,
    pub(crate) number: u64,
    /// The inode by its place in the list.
    pub(crate) owner: usize,
}

pub(crate) struct Survey {
    pub(crate) geometry: Geometry,
    pub(crate) checksums: Checksums,
    pub(crate) groups: Vec<(u64, u64, u64)>,
    pub(crate) inodes: Vec<Known>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) journal: Option<JournalLocation>,
    pub(crate) types: bool,
}

impl Survey {
    pub(crate) fn new(image: &[u8]) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(image.to_vec()));
        let fs = Filesystem::open_as_is(disk).unwrap();
        let geometry = *fs.geometry();
        let mut inodes = Vec::new();
        for ino in 1..=geometry.inodes_count {
            let Ok(inode) = fs.inode(ino) else { continue };
            if inode.i_links_count() > 0 {
                let at = fs.inode_position(ino).unwrap() as usize;
                let generation = inode.i_generation();
                inodes.push(Known { ino, kind: inode.kind(), at, generation });
            }
        }
        let mut blocks = Vec::new();
        for (owner, known) in inodes.iter().enumerate() {
            let inode = fs.inode(known.ino).unwrap();
            for (what, number) in blocks_of(&fs, known.ino, &inode) {
                blocks.push(Block { what, number, owner });
            }
        }
        let groups = fs
            .descriptors()
            .iter()
            .map(|d| (d.block_bitmap(), d.inode_bitmap(), d.inode_table()))
            .collect();
        Self {
            geometry,
            checksums: *fs.checksums(),
            groups,
            inodes,
            blocks,
            journal: JournalLocation::find(&fs).ok().flatten(),
            types: fs.superblock().s_feature_incompat() & 2 != 0,
        }
    }

    pub(crate) fn block_size(&self) -> usize {
        self.geometry.block_size as usize
    }
}

fn blocks_of(fs: &Filesystem, ino: u32, inode: &Inode) -> Vec<(What, u64)> {
    let mut found = Vec::new();
    if inode.file_acl() != 0 {
        found.push((What::Xattrs, inode.file_acl()));
    }
    let mapped = match inode.kind() {
        Some(FileKind::Regular | FileKind::Directory) => !inode.has_flag(FLAG_INLINE_DATA),
        Some(FileKind::Symlink) => !inode.is_fast_symlink(),
        _ => false,
    };
    if !mapped {
        return found;
    }
    let Ok(tree) = fs.block_map(ino, inode).and_then(|mut map| map.tree_blocks(100_000)) else {
        return found;
    };
    let extents = inode.i_flags() & 0x8_0000 != 0;
    let node = if extents { What::ExtentNode } else { What::Pointers };
    found.extend(tree.nodes.iter().map(|number| (node, *number)));
    let orphans = fs.superblock().s_orphan_file_inum() == ino;
    if inode.kind() == Some(FileKind::Directory) || orphans {
        for extent in &tree.data {
            for n in 0..u64::from(extent.len) {
                let number = extent.start + n;
                let logical = u64::from(extent.block) + n;
                found.push((what(fs, inode, logical, number, orphans), number));
            }
        }
    }
    found
}

fn what(fs: &Filesystem, inode: &Inode, logical: u64, number: u64, orphans: bool) -> What {
    if orphans {
        return What::OrphanFile;
    }
    if !inode.has_flag(FLAG_INDEX) {
        return What::Leaf;
    }
    let block = fs.block(number).unwrap();
    let fake = block[..4] == [0; 4] && block[6..8] == [0; 2];
    let whole = u16::from_le_bytes([block[4], block[5]]);
    match (logical, fake && usize::from(whole) == block.len()) {
        (0, _) => What::IndexRoot,
        (_, true) => What::IndexNode,
        (_, false) => What::Leaf,
    }
}
