//! Our check beside e2fsck: clean images, and damage of known kinds.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use banger_ext4::{Filesystem, FindingKind as Kind, Findings, check};

use crate::support::{filled, missing, open};

fn findings(image: &Path) -> Findings {
    check(&Filesystem::open(Arc::new(open(image))).unwrap()).unwrap()
}

fn e2fsck(image: &Path) -> i32 {
    let out = Command::new("e2fsck").arg("-fn").arg(image).output().unwrap();
    out.status.code().unwrap()
}

#[test]
fn what_e2fsck_passes_we_pass() {
    if missing("mkfs.ext4") {
        return;
    }
    let makes: &[&[&str]] = &[
        &[],
        &["-b", "1024", "-O", "^metadata_csum,^64bit"],
        &["-b", "2048", "-O", "^extent,^64bit,^resize_inode"],
        &["-O", "inline_data,metadata_csum_seed,orphan_file"],
        &["-b", "1024", "-O", "meta_bg,^resize_inode,sparse_super2"],
        &["-O", "bigalloc", "-C", "65536"],
    ];
    for options in makes {
        let image = filled(100 << 20, options, 800);
        let found = findings(&image.path);
        assert_eq!(e2fsck(&image.path), 0);
        assert!(found.is_clean(), "{options:?}: {:#?}", found.problems);
        // The names, and `lost+found`, `a`, `b`, `c`, ..., hard links once.
        assert_eq!(found.inodes, 800 + 13, "{options:?}");
    }
}

#[test]
fn damage_that_e2fsck_sees_we_see() {
    if missing("debugfs") || missing("mkfs.ext4") {
        return;
    }
    let damages: &[(&str, Kind)] = &[
        ("set_inode_field a/small links_count 5", Kind::LinkCount),
        ("set_inode_field a links_count 7", Kind::LinkCount),
        ("set_inode_field a/small blocks 99", Kind::InodeBlocks),
        ("set_super_value free_blocks_count 5", Kind::SuperblockCount),
        ("set_super_value free_inodes_count 5", Kind::SuperblockCount),
        ("set_block_group 0 used_dirs_count 9\nset_block_group 0 checksum calc", Kind::GroupCount),
        (
            "set_block_group 0 free_inodes_count 9\nset_block_group 0 checksum calc",
            Kind::GroupCount,
        ),
        (
            "set_block_group 0 itable_unused 4000\nset_block_group 0 checksum calc",
            Kind::UnusedInodes,
        ),
        ("clri a/small", Kind::EntryInode),
        ("unlink a/small", Kind::LinkCount),
        ("link a/small new", Kind::LinkCount),
        ("freei a/small", Kind::InodeBitmap),
        ("seti <1500>", Kind::InodeBitmap),
        ("freeb 600", Kind::BlockBitmap),
        ("setb 20000", Kind::BlockBitmap),
        ("set_inode_field a/b/large size 1000", Kind::DataBehindEnd),
        ("link a another-name-of-a", Kind::SecondParent),
    ];
    for (command, expected) in damages {
        let image = filled(20 << 20, &[], 50);
        let script = image.path.with_extension("commands");
        std::fs::write(&script, command).unwrap();
        let out = Command::new("debugfs").args(["-w", "-f"]).arg(script).arg(&image.path).output();
        let said = String::from_utf8_lossy(&out.unwrap().stderr).into_owned();
        // e2fsck mends counts in the superblock without a word.
        if !command.starts_with("set_super_value") {
            assert_ne!(e2fsck(&image.path), 0, "{command} did damage ({said})");
        }
        let found = findings(&image.path);
        assert!(found.has(*expected), "{command}: {found}");
    }
}
