//! What mke2fs writes is understood, and comes out again byte for byte.

use crate::support::{missing, mke2fs, open};
use banger_ext4::Disk;
use banger_ext4::layout::bitmap;
use banger_ext4::layout::geometry::{Geometry, MetadataMap, synthesise_inode_bitmap};
use banger_ext4::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT};
use banger_ext4::layout::inode::Inode;
use banger_ext4::layout::superblock::Superblock;

fn read(disk: &dyn Disk, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    disk.read_at(offset, &mut bytes).unwrap();
    bytes
}

/// Reads every structure of fixed place and compares what it encodes to.
fn exercise(size: u64, options: &[&str]) {
    let image = mke2fs(size, options);
    let disk = open(&image.path);
    let raw = read(&disk, 1024, 1024);
    let sb = Superblock::parse(&raw).unwrap();
    assert_eq!(sb.encode().to_vec(), raw, "{options:?}");
    let geometry = Geometry::new(&sb);
    let checksums = sb.checksums();
    let block_size = geometry.block_size as usize;

    let mut descriptors = Vec::new();
    for n in 0..geometry.gdt_blocks() {
        let block = read(&disk, geometry.offset(geometry.gdt_block(n)), block_size);
        for bytes in block.chunks_exact(geometry.desc_size.into()) {
            let group = descriptors.len() as u32;
            if group < geometry.groups {
                let descriptor = GroupDescriptor::parse(bytes, group, &checksums).unwrap();
                assert_eq!(descriptor.encode(group, &checksums), bytes);
                descriptors.push(descriptor);
            }
        }
        // Backups differ in flags alone at most; their places must be right.
        for backup in geometry.gdt_block_backups(n) {
            let copy = read(&disk, geometry.offset(backup), geometry.desc_size.into());
            let group = n * geometry.descs_per_block();
            let copy = GroupDescriptor::parse(&copy, group, &checksums).unwrap();
            assert_eq!(copy.inode_table(), descriptors[group as usize].inode_table());
        }
    }
    for group in geometry.backup_groups().skip(1) {
        let copy = read(&disk, geometry.offset(geometry.group_first_block(group)), 1024);
        let copy = Superblock::parse(&copy).unwrap();
        assert_eq!(u32::from(copy.s_block_group_nr()), group);
    }

    let map = MetadataMap::new(&geometry, &descriptors).unwrap();
    let mut free = 0u64;
    for (group, descriptor) in (0..).zip(&descriptors) {
        free += u64::from(descriptor.free_blocks_count());
        let clear_among = |bits: &[u8], len| bitmap::count_clear(bits, len);
        let blocks = geometry.group_blocks(group).div_ceil(geometry.cluster_ratio);
        let bits = if descriptor.has_flag(BLOCK_UNINIT) {
            map.synthesise(&geometry, group)
        } else {
            let bits = read(&disk, geometry.offset(descriptor.block_bitmap()), block_size);
            let per_group = geometry.clusters_per_group;
            bitmap::check_block_bitmap(&bits, per_group, descriptor, &checksums).unwrap();
            bits
        };
        assert_eq!(clear_among(&bits, blocks), descriptor.free_blocks_count(), "group {group}");
        let bits = if descriptor.has_flag(INODE_UNINIT) {
            synthesise_inode_bitmap(&geometry)
        } else {
            let bits = read(&disk, geometry.offset(descriptor.inode_bitmap()), block_size);
            let per_group = geometry.inodes_per_group;
            bitmap::check_inode_bitmap(&bits, per_group, descriptor, &checksums).unwrap();
            bits
        };
        let per_group = geometry.inodes_per_group;
        assert_eq!(clear_among(&bits, per_group), descriptor.free_inodes_count());
    }
    assert_eq!(free * u64::from(geometry.cluster_ratio), sb.free_blocks_count());

    let table = descriptors[0].inode_table();
    for ino in 2..12 {
        let (_, index) = geometry.inode_place(ino).unwrap();
        let bytes = read(&disk, geometry.inode_offset(table, index), geometry.inode_size.into());
        let inode = Inode::parse(ino, bytes.as_slice(), &checksums).unwrap();
        assert_eq!(inode.encode(ino, &checksums), bytes, "inode {ino}");
    }
}

#[test]
fn filesystems_of_many_makes_are_understood() {
    if missing("mke2fs") {
        return;
    }
    let mib = 1 << 20;
    exercise(64 * mib, &[]);
    exercise(600 * mib, &[]);
    exercise(3000 * mib, &["-O", "metadata_csum_seed,orphan_file"]);
    exercise(300 * mib, &["-b", "1024", "-O", "^64bit"]);
    exercise(300 * mib, &["-O", "^metadata_csum,uninit_bg,^64bit"]);
    exercise(300 * mib, &["-O", "^metadata_csum,uninit_bg"]);
    exercise(300 * mib, &["-O", "^metadata_csum,^uninit_bg,^flex_bg"]);
    exercise(300 * mib, &["-b", "1024", "-O", "^sparse_super,^resize_inode,^flex_bg"]);
    exercise(300 * mib, &["-b", "1024", "-O", "meta_bg,^resize_inode"]);
    exercise(300 * mib, &["-b", "1024", "-O", "sparse_super2,^resize_inode"]);
    exercise(300 * mib, &["-b", "2048", "-I", "512", "-G", "4"]);
    exercise(300 * mib, &["-I", "128"]);
    exercise(600 * mib, &["-O", "bigalloc", "-C", "16384"]);
    exercise(100 * mib, &["-O", "bigalloc", "-b", "1024", "-C", "65536"]);
    exercise(300 * mib, &["-b", "65536"]);
    exercise(300 * mib, &["-O", "^has_journal,^extent,^flex_bg,^64bit,^metadata_csum"]);
    exercise(300 * mib, &["-O", "none,has_journal,filetype,large_file"]);
    exercise(2 * mib, &["-b", "1024"]);
}
