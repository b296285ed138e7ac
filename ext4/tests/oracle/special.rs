//! Damage to inodes and fields with a meaning of their own, of which e2fsck tells: our check
//! tells of it, too.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use banger_ext4::{Filesystem, FindingKind as Kind, FindingObject as Object, Findings, check};

use crate::support::{Image, filled, missing, mke2fs, open};

const PLAIN: &str = "^metadata_csum,^64bit,^orphan_file";

fn findings(image: &Path) -> Findings {
    check(&Filesystem::open_as_is(Arc::new(open(image))).unwrap()).unwrap()
}

/// What `e2fsck -fn` says, and whether that is nothing bad.
fn e2fsck(image: &Path) -> (bool, String) {
    let out = Command::new("e2fsck").arg("-fn").arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let asked = said.lines().any(|line| line.ends_with("? no"));
    (out.status.code() == Some(0) && !asked, said)
}

/// Writes bytes over an image without checksums.
fn poke(image: &Image, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(&image.path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// Byte offset of an inode's record.
fn record(image: &Image, ino: u32) -> u64 {
    let fs = Filesystem::open_as_is(Arc::new(open(&image.path))).unwrap();
    fs.inode_position(ino).unwrap()
}

fn debugfs(image: &Image, command: &str) {
    let out = Command::new("debugfs").args(["-w", "-R", command]).arg(&image.path).output();
    let said = String::from_utf8_lossy(&out.unwrap().stderr).into_owned();
    assert!(said.lines().count() <= 1, "{command}: {said}");
}

/// Both see it, and ours names what it is about.
fn both_tell(image: &Image, what: &str, kind: Kind, object: &Object) {
    let (clean, said) = e2fsck(&image.path);
    assert!(!clean, "{what}: e2fsck says nothing: {said}");
    let found = findings(&image.path);
    let told = found.problems.iter().any(|p| p.kind == kind && p.object == *object);
    assert!(told, "{what}: {found}");
}

#[test]
fn reserved_inodes_hold_what_they_may() {
    if missing("mkfs.ext4") {
        return;
    }
    let whole = mke2fs(20 << 20, &["-O", PLAIN]);
    assert!(e2fsck(&whole.path).0 && findings(&whole.path).is_clean());
    // (inode, offset within, value, what we call it)
    let damages: &[(u32, u64, u32, Kind)] = &[
        (1, 0x00, 0x81a4, Kind::InodeMode),
        (1, 0x28, 0x00ff_ffff, Kind::BlockRange),
        (3, 0x1c, 8, Kind::InodeMode),
        (5, 0x00, 0x41ed, Kind::InodeMode),
        (6, 0x6c, 0x00ff_ffff, Kind::InodeSize),
        (7, 0x04, 15, Kind::ResizeInode),
        (7, 0x20, 0x8_0000, Kind::ResizeInode),
        (9, 0x1c, 8, Kind::InodeBlocks),
        (10, 0x00, 0x81a4, Kind::InodeMode),
        (10, 0x14, 12, Kind::DeletionTime),
    ];
    for (ino, at, value, kind) in damages {
        let image = mke2fs(20 << 20, &["-O", PLAIN]);
        poke(&image, record(&image, *ino) + at, &value.to_le_bytes());
        // Where only half of the word was meant.
        let what = format!("inode {ino} {at:#x}");
        both_tell(&image, &what, *kind, &Object::Inode(*ino));
    }
}

#[test]
fn checksums_of_reserved_inodes_are_looked_at() {
    if missing("mkfs.ext4") {
        return;
    }
    let image = mke2fs(20 << 20, &["-O", "metadata_csum"]);
    poke(&image, record(&image, 10) + 0x64, &[7]);
    both_tell(&image, "inode 10", Kind::InodeChecksum, &Object::Inode(10));
}

#[test]
fn bad_blocks_are_in_use() {
    if missing("mkfs.ext4") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    std::fs::write(&list, "9000\n9001\n15000\n").unwrap();
    let image = mke2fs(20 << 20, &["-b", "1024", "-l", list.to_str().unwrap()]);
    assert!(e2fsck(&image.path).0);
    let found = findings(&image.path);
    assert!(found.is_clean(), "{found}");
}

#[test]
fn numbers_in_the_superblock_name_what_they_should() {
    if missing("mkfs.ext4") {
        return;
    }
    for (at, number, kind, object) in [
        // `lost+found` is no orphan file, whether there is one or not.
        (0x280, 11_u32, Kind::InodeMode, Object::Inode(11)),
        (0x240, 7, Kind::SuperblockField, Object::Superblock),
        (0x244, 5000, Kind::SuperblockField, Object::Superblock),
    ] {
        let image = mke2fs(20 << 20, &["-N", "2048", "-O", PLAIN]);
        poke(&image, 1024 + at, &number.to_le_bytes());
        both_tell(&image, &format!("superblock {at:#x}"), kind, &object);
    }
    // Casefold without an encoding, and a wish for inodes of which a part is of no use.
    for (command, what) in [("feature casefold", "casefold"), ("ssv want_extra_isize 34", "isize")]
    {
        let image = mke2fs(20 << 20, &["-I", "256"]);
        debugfs(&image, command);
        both_tell(&image, what, Kind::SuperblockField, &Object::Superblock);
    }
    let image = mke2fs(20 << 20, &["-O", "resize_inode"]);
    debugfs(&image, "feature -resize_inode");
    both_tell(&image, "resize_inode", Kind::ResizeInode, &Object::Inode(7));
}

#[test]
fn the_journal_is_not_longer_than_its_blocks() {
    if missing("mkfs.ext4") {
        return;
    }
    let image = mke2fs(20 << 20, &["-O", PLAIN]);
    poke(&image, record(&image, 8) + 4, &(64_u32 << 20).to_le_bytes());
    both_tell(&image, "i_size", Kind::Journal, &Object::Inode(8));
}

#[test]
fn bitmaps_are_set_behind_a_groups_end() {
    if missing("mkfs.ext4") {
        return;
    }
    for options in [&["-b", "1024", "-g", "1024"][..], &["-O", "bigalloc,^metadata_csum"][..]] {
        let image = filled(20 << 20, options, 10);
        let fs = Filesystem::open_as_is(Arc::new(open(&image.path))).unwrap();
        let geometry = *fs.geometry();
        let (group, descriptor) = (0_u32, &fs.descriptors()[0]);
        let end = geometry.offset(descriptor.block_bitmap() + 1);
        poke(&image, end - 8, &[0xfe]);
        both_tell(&image, "padding", Kind::BitmapPadding, &Object::Group(group));
    }
}

#[test]
fn a_directory_in_its_inode_has_no_index() {
    if missing("mkfs.ext4") {
        return;
    }
    let image = filled(20 << 20, &["-O", "inline_data", "-I", "256"], 10);
    // `a`, whose flags are then those of data in the inode and of an index.
    debugfs(&image, "set_inode_field a flags 0x10001000");
    let fs = Filesystem::open_as_is(Arc::new(open(&image.path))).unwrap();
    let root = fs.inode(2).unwrap();
    let ino = fs.lookup(2, &root, b"a").unwrap().unwrap();
    both_tell(&image, "a", Kind::IndexNode, &Object::Inode(ino));
}

#[test]
fn the_orphan_file_has_an_inode_that_the_kernel_reads() {
    if missing("mkfs.ext4") {
        return;
    }
    // e2fsck passes over `i_extra_isize` of this inode; the kernel refuses to mount.
    let image = mke2fs(20 << 20, &["-O", "orphan_file,^metadata_csum"]);
    let fs = Filesystem::open_as_is(Arc::new(open(&image.path))).unwrap();
    let ino = fs.superblock().s_orphan_file_inum();
    poke(&image, record(&image, ino) + 0x80, &33_u16.to_le_bytes());
    let found = findings(&image.path);
    let kinds: Vec<Kind> = found.kinds.keys().copied().collect();
    assert_eq!(kinds, [Kind::InodeField], "{found}");
}

#[test]
fn values_of_attributes_have_no_names() {
    if missing("mkfs.ext4") {
        return;
    }
    let image = filled(20 << 20, &["-O", "ea_inode"], 10);
    debugfs(&image, "set_inode_field a/small flags 0x280000");
    let found = findings(&image.path);
    let kinds: Vec<Kind> = found.kinds.keys().copied().collect();
    assert_eq!(kinds, [Kind::InodeField], "{found}");
}
