//! The inodes that every filesystem is born with: root, `lost+found`, journal, and the owner of reserved descriptors.

use super::writes::{Pointers, Writes};
use crate::layout::checksum::Checksums;
use crate::layout::directory;
use crate::layout::extent::{Entries, Extent, ExtentIndex, ExtentNode, block_capacity};
use crate::layout::geometry::Geometry;
use crate::layout::inode::{FLAG_EXTENTS, FileKind, Inode, RESIZE_INO, ROOT_INO};
use crate::layout::orphan;
use crate::{Error, Result, Timestamp, le};

/// The inode of `lost+found`.
pub(super) const LOST_FOUND_INO: u32 = 11;

/// The inode of the orphan file.
pub(super) const ORPHAN_FILE_INO: u32 = 12;

/// An inode of `kind`, owned by 0:0, of this moment.
pub(super) fn new_inode(geometry: &Geometry, kind: FileKind, mode: u16, now: Timestamp) -> Inode {
    let mut inode = Inode::blank(geometry.inode_size);
    inode.set_i_mode(kind.mode_bits() | mode);
    inode.set_i_links_count(1);
    inode.set_atime(now);
    inode.set_ctime(now);
    inode.set_mtime(now);
    inode.set_i_crtime(inode.i_ctime());
    inode.set_i_crtime_extra(inode.i_ctime_extra());
    inode
}

/// Maps `extents`; a tree block is needed when there are more than four.
pub(super) fn map_extents(
    inode: &mut Inode,
    extents: &[Extent],
    tree_block: impl FnOnce() -> Result<u64>,
    geometry: &Geometry,
    seed: u32,
    writes: &mut Writes,
) -> Result<()> {
    let mut blocks: u64 = extents.iter().map(|extent| u64::from(extent.len)).sum();
    inode.set_size(blocks * u64::from(geometry.block_size));
    inode.set_i_flags(inode.i_flags() | FLAG_EXTENTS);
    let mut root = ExtentNode::empty_root();
    if extents.len() <= usize::from(root.max) {
        root.entries = Entries::Leaf(extents.to_vec());
    } else {
        let leaf = ExtentNode {
            max: block_capacity(geometry.block_size),
            depth: 0,
            generation: 0,
            entries: Entries::Leaf(extents.to_vec()),
        };
        let number = tree_block()?;
        let mut bytes = vec![0; geometry.block_size as usize];
        leaf.encode_into(&mut bytes, Some(seed))?;
        writes.push(geometry.offset(number), bytes);
        root.depth = 1;
        root.entries = Entries::Index(vec![ExtentIndex { block: 0, leaf: number }]);
        blocks += 1;
    }
    let mut i_block = [0; 60];
    root.encode_into(&mut i_block, None)?;
    inode.set_i_block(&i_block);
    inode.set_sectors(blocks * u64::from(geometry.block_size / 512), geometry.block_size);
    Ok(())
}

/// The blocks of a new directory: entries in the first, nothing in the others.
pub(super) fn directory_blocks(
    geometry: &Geometry,
    blocks: u32,
    entries: &[(u32, &[u8])],
    seed: u32,
) -> Result<Vec<u8>> {
    let size = geometry.block_size as usize;
    let end = size - directory::TAIL_SIZE;
    let mut all = Vec::with_capacity(size * blocks as usize);
    for number in 0..blocks {
        let mut block = vec![0; size];
        let mut placed = true;
        let mut at = 0;
        let here = if number == 0 { entries } else { &[] };
        for (n, (ino, name)) in here.iter().enumerate() {
            let last = n + 1 == here.len();
            let len = if last { end - at } else { directory::entry_size(name.len()) };
            let kind = FileKind::Directory.dirent_type();
            placed &= directory::put_entry(&mut block, at, len, *ino, kind, name);
            at += len;
        }
        if here.is_empty() {
            placed &= directory::put_entry(&mut block, 0, end, 0, 0, b"");
        }
        if !placed {
            let what = "the entries of a new directory do not fit a block".to_owned();
            return Err(Error::NoSpace { what });
        }
        directory::put_tail(&mut block, seed);
        all.extend(block);
    }
    Ok(all)
}

/// Inode 7: a tree of block pointers that owns the reserved descriptor blocks.
/// `pointers` is the block that lists those of the first group; each of them
/// lists its copies in the other groups.
pub(super) fn resize_inode(
    geometry: &Geometry,
    pointers: u64,
    now: Timestamp,
    writes: &mut Writes,
) -> Inode {
    let block_size = geometry.block_size as usize;
    let per_block = u64::from(geometry.block_size / 4);
    let first = u64::from(geometry.first_data_block) + 1 + u64::from(geometry.gdt_blocks());
    let reserved = u32::from(geometry.reserved_gdt_blocks);
    let mut list = vec![0; block_size];
    let offset = first - u64::from(geometry.first_data_block);
    let backups: Vec<u64> = geometry
        .backup_groups()
        .skip(1)
        .map(|group| geometry.group_first_block(group) + offset)
        .collect();
    for n in 0..reserved {
        let slot = (u64::from(geometry.gdt_blocks()) + u64::from(n)) % per_block;
        le::put(&mut list, slot as usize * 4, (first + u64::from(n)) as u32);
    }
    let copies = backups.len() as u64;
    writes.push(geometry.offset(pointers), list);
    writes.push(geometry.offset(first), Pointers { block_size, blocks: reserved, first: backups });

    let mut inode = new_inode(geometry, FileKind::Regular, 0o600, now);
    let blocks = 1 + u64::from(reserved) * (1 + copies);
    inode.set_sectors(blocks * u64::from(geometry.block_size / 512), geometry.block_size);
    inode.set_size((per_block * per_block + per_block + 12) * u64::from(geometry.block_size));
    let mut i_block = [0; 60];
    le::put(&mut i_block, 13 * 4, pointers as u32);
    inode.set_i_block(&i_block);
    inode
}

/// The blocks of an orphan file that lists nobody.
pub(super) fn orphan_blocks(geometry: &Geometry, extent: &Extent, seed: u32) -> Vec<u8> {
    let size = geometry.block_size as usize;
    let mut all = vec![0; size * usize::from(extent.len)];
    for (number, block) in (extent.start..).zip(all.chunks_mut(size)) {
        orphan::put_empty(block, number, Some(seed));
    }
    all
}

/// The used part of the first inode table: the inodes up to `last`.
pub(super) fn first_inodes(
    geometry: &Geometry,
    checksums: &Checksums,
    inodes: &[(u32, Inode)],
    last: u32,
) -> Vec<u8> {
    let size = usize::from(geometry.inode_size);
    let bytes = size * last as usize;
    let mut table = vec![0; bytes.next_multiple_of(geometry.block_size as usize)];
    for (ino, inode) in inodes {
        le::put_bytes(&mut table, (*ino as usize - 1) * size, &inode.encode(*ino, checksums));
    }
    table
}

/// Checksum seed of a new inode, whose generation is 0.
pub(super) fn seed(checksums: &Checksums, ino: u32) -> u32 {
    debug_assert!(matches!(ino, ROOT_INO | RESIZE_INO..=ORPHAN_FILE_INO));
    checksums.inode_seed(ino, 0)
}
