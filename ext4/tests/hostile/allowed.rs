//! The blocks that a batch may write, worked out from the image before it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::layout::bitmap;
use banger_ext4::layout::checksum::GroupChecksum;
use banger_ext4::layout::geometry::MetadataMap;
use banger_ext4::layout::group::BLOCK_UNINIT;
use banger_ext4::layout::inode::{FileKind, Inode};
use banger_ext4::{Disk, Filesystem, MemoryDisk};

use crate::disks::PIECE;

/// Of every block of the image, whether it may be written: those that were free, the metadata
/// with a place of its own (the first copy), the journal, all of directories and orphans, and
/// of the touched files what is not content.
pub(crate) struct Allowed {
    pieces: Vec<bool>,
}

impl Allowed {
    /// None where the image cannot be opened: nothing may be written then.
    pub(crate) fn new(image: Vec<u8>, touched: &[&[u8]]) -> Option<Self> {
        let len = image.len();
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(image));
        let fs = Filesystem::open_as_is(disk).ok()?;
        let geometry = *fs.geometry();
        let metadata = MetadataMap::new(&geometry, fs.descriptors()).ok()?;
        let per_block = u64::from(geometry.block_size) / PIECE;
        let mut new = Self { pieces: vec![false; len.div_ceil(PIECE as usize)] };
        let mut allow = |block: u64| {
            let from = block.saturating_mul(per_block) as usize;
            for piece in from..from.saturating_add(per_block as usize) {
                if let Some(allowed) = new.pieces.get_mut(piece) {
                    *allowed = true;
                }
            }
        };
        let summed = fs.checksums().group != GroupChecksum::None;
        allow(1024 / u64::from(geometry.block_size));
        (0..geometry.gdt_blocks()).for_each(|n| allow(geometry.gdt_block(n)));
        for (group, descriptor) in (0..geometry.groups).zip(fs.descriptors()) {
            allow(descriptor.block_bitmap());
            allow(descriptor.inode_bitmap());
            let table = descriptor.inode_table();
            (table..table + u64::from(geometry.itable_blocks())).for_each(&mut allow);
            let bits = if summed && descriptor.has_flag(BLOCK_UNINIT) {
                metadata.synthesise(&geometry, group)
            } else {
                fs.block(descriptor.block_bitmap()).ok()?.to_vec()
            };
            let first = geometry.group_first_block(group);
            (0..geometry.group_blocks(group))
                .filter(|bit| !bitmap::is_set(&bits, *bit))
                .for_each(|bit| allow(first + u64::from(bit)));
        }
        if let Ok(Some(journal)) = JournalLocation::find(&fs) {
            (0..u64::from(journal.superblock.s_maxlen()))
                .filter_map(|number| journal.block(number).ok())
                .for_each(&mut allow);
        }
        let touched = touched_inodes(&fs, touched);
        for ino in 1..=geometry.inodes_count {
            let Ok(inode) = fs.inode(ino) else { continue };
            let whole = inode.kind() == Some(FileKind::Directory)
                || ino == fs.superblock().s_orphan_file_inum()
                || ino == fs.superblock().s_last_orphan()
                || ino == 7;
            if whole || touched.contains(&ino) {
                blocks(&fs, ino, &inode, whole).into_iter().for_each(&mut allow);
            }
        }
        Some(new)
    }

    /// The first piece that must not have been written.
    pub(crate) fn first_forbidden(&self, written: &BTreeSet<u64>) -> Option<u64> {
        written.iter().copied().find(|piece| self.pieces.get(*piece as usize) != Some(&true))
    }
}

/// Inodes that any directory has under one of these names, however it is damaged.
fn touched_inodes(fs: &Filesystem, names: &[&[u8]]) -> HashSet<u32> {
    let mut found = HashSet::new();
    for ino in 1..=fs.geometry().inodes_count {
        let Ok(inode) = fs.inode(ino) else { continue };
        if inode.kind() != Some(FileKind::Directory) {
            continue;
        }
        let Ok(items) = fs.list(ino, &inode, 100_000) else { continue };
        found.extend(
            items.iter().filter(|item| names.contains(&item.name.as_slice())).map(|item| item.ino),
        );
        for name in names {
            found.extend(fs.lookup(ino, &inode, name).ok().flatten());
        }
    }
    found
}

fn blocks(fs: &Filesystem, ino: u32, inode: &Inode, data: bool) -> Vec<u64> {
    let mut found = vec![inode.file_acl()];
    if let Ok(tree) = fs.block_map(ino, inode).and_then(|mut map| map.tree_blocks(1 << 20)) {
        found.extend(&tree.nodes);
        let extents = tree.data.iter().filter(|_| data);
        found.extend(extents.flat_map(|e| e.start..e.start + u64::from(e.len)));
    }
    found
}
