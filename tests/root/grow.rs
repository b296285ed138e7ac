//! Growing: before e2fsck and the kernel, beside resize2fs, and through crashes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, Error, FileDisk, Filesystem, Flush, FormatOptions, Grown, MemoryDisk,
    Timestamp, format, grow,
};
use banger_tests::image::{disk, path};
use banger_tests::recorder::{Random, Recorder, crash_states};
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

const EXT3: &str =
    "none,has_journal,filetype,large_file,dir_index,ext_attr,sparse_super,resize_inode";

fn options() -> FormatOptions {
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };
    FormatOptions { zeroed: true, ..FormatOptions::new(*b"0123456789abcdef", [7; 16], now) }
}

/// Ours for no arguments, else mke2fs's.
fn make(image: &Path, size: u64, arguments: Option<&[&str]>) {
    match arguments {
        Some(arguments) => fsck::mke2fs(image, size, arguments),
        None => {
            let file = File::create(image).unwrap();
            file.set_len(size).unwrap();
            format(&FileDisk::new(file).unwrap(), &options()).unwrap();
        }
    }
}

fn lengthened(image: &Path, size: u64) -> Arc<dyn Disk> {
    File::options().write(true).open(image).unwrap().set_len(size).unwrap();
    disk(image)
}

/// Some files, so that there is something to lose.
fn fill(disk: Arc<dyn Disk>, name: &str) {
    let mut batch = Batch::open(disk).unwrap();
    batch.make_directory(&path(format!("/{name}")), FILE).unwrap();
    for n in 0..60_usize {
        let content = vec![n as u8; n * 700];
        batch.write_file(&path(format!("/{name}/{n}")), FILE, &content).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
}

/// Values of `dumpe2fs -h`.
fn dump(image: &Path, names: &[&str]) -> Vec<String> {
    let out = fsck::tool("dumpe2fs").arg("-h").arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines()
        .filter(|line| names.iter().any(|name| line.starts_with(name)))
        .map(ToOwned::to_owned)
        .collect()
}

/// Lines of a tree without the top, whose times the test's own writing changes.
fn below(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| !line.starts_with("/ ")).cloned().collect()
}

#[test]
fn e2fsck_and_the_kernel_take_what_has_grown() {
    needs_kernel!();
    /// A name, the first size, how it is made, and the sizes that it grows to.
    type Case = (&'static str, u64, Option<&'static [&'static str]>, &'static [u64]);
    let cases: &[Case] = &[
        ("ours, 1k", 40 * MIB, None, &[41 * MIB, 100 * MIB + 777, 3 * GIB, 5 * GIB]),
        ("ours, 4k", 600 * MIB, None, &[601 * MIB, 2 * GIB, 20 * GIB, 30 * GIB, 80 * GIB]),
        ("defaults", 300 * MIB, Some(&[]), &[700 * MIB, 9 * GIB]),
        ("4k", 150 * MIB, Some(&["-b", "4096"]), &[300 * MIB, 9 * GIB, 30 * GIB]),
        (
            "little reserved",
            200 * MIB,
            Some(&["-b", "1024", "-E", "resize=600000"]),
            &[500 * MIB, 3 * GIB, 4 * GIB],
        ),
        ("no resize inode", 200 * MIB, Some(&["-O", "^resize_inode"]), &[260 * MIB, 4 * GIB]),
        ("meta_bg", 200 * MIB, Some(&["-O", "meta_bg,^resize_inode"]), &[260 * MIB, 4 * GIB]),
        ("no flex_bg", 100 * MIB, Some(&["-O", "^flex_bg"]), &[150 * MIB, 2 * GIB]),
        ("no 64bit", 100 * MIB, Some(&["-O", "^64bit", "-b", "4096"]), &[300 * MIB, 20 * GIB]),
        ("no checksums", 60 * MIB, Some(&["-O", "^metadata_csum,^uninit_bg"]), &[300 * MIB]),
        ("uninit_bg", 60 * MIB, Some(&["-O", "^metadata_csum,uninit_bg"]), &[300 * MIB]),
        ("2k, small inodes", 60 * MIB, Some(&["-b", "2048", "-I", "128"]), &[300 * MIB, 6 * GIB]),
        ("no journal", 60 * MIB, Some(&["-O", "^has_journal"]), &[300 * MIB]),
        ("ext3", 60 * MIB, Some(&["-b", "1024", "-O", EXT3]), &[61 * MIB, 300 * MIB]),
        ("inline_data", 60 * MIB, Some(&["-O", "inline_data"]), &[300 * MIB]),
        ("orphan_file, csum_seed", 64 * MIB, Some(&["-O", "orphan_file"]), &[3 * GIB]),
        (
            "every group has copies",
            64 * MIB,
            Some(&["-O", "^sparse_super,^resize_inode"]),
            &[128 * MIB],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    for (name, size, arguments, sizes) in cases {
        make(&image, *size, *arguments);
        fill(disk(&image), "before");
        let before = below(&engine::tree(&image));
        let mut old = Filesystem::open(disk(&image)).unwrap().geometry().blocks_count;
        for (n, size) in sizes.iter().enumerate() {
            let Grown { before: was, after, atomic } =
                grow(&lengthened(&image, *size), true, Flush::ProcessSafe)
                    .unwrap_or_else(|error| panic!("{name} to {size}: {error}"));
            println!("{name}: {was} -> {after} of {size}");
            let geometry = *Filesystem::open(disk(&image)).unwrap().geometry();
            assert_eq!(geometry.offset(old), was, "{name}");
            assert_eq!(geometry.offset(geometry.blocks_count), after, "{name}");
            assert!(after > was && after <= *size && size - after < 16 * MIB, "{name} {after}");
            assert_eq!(atomic, *name != "no journal");
            old = geometry.blocks_count;
            fsck::assert_clean(&image);
            manifest::assert_same(("before", &before), ("grown", &below(&engine::tree(&image))));
            if n + 1 == sizes.len() {
                // New groups are given out and hold what is written.
                fill(disk(&image), "after");
                kernel::assert_workable(&image);
            }
        }
    }
}

/// What resize2fs makes of the same image has the same numbers.
#[test]
fn it_is_what_resize2fs_would_have_made() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    for (arguments, from, to) in [
        (None, 8 * GIB, 64 * GIB),
        (None, GIB, GIB + 50 * MIB),
        (None, 100 * MIB, 211 * MIB),
        (Some(&["-b", "1024"][..]), 50 * MIB, 700 * MIB),
        (Some(&["-O", "^64bit"][..]), 600 * MIB, 3 * GIB),
    ] {
        make(&ours, from, arguments);
        kernel::copy(&ours, &theirs);
        grow(&lengthened(&ours, to), true, Flush::ProcessSafe).unwrap();
        let checked = fsck::tool("e2fsck").arg("-fp").arg(&theirs).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        drop(lengthened(&theirs, to));
        let resized = fsck::tool("resize2fs").arg(&theirs).output().unwrap();
        assert!(resized.status.success(), "{resized:?}");
        let names = [
            "Block count",
            "Inode count",
            "Reserved block count",
            "Reserved GDT",
            "Filesystem features",
            "Free blocks",
            "Free inodes",
        ];
        manifest::assert_same(
            ("ours", &dump(&ours, &names)),
            ("resize2fs", &dump(&theirs, &names)),
        );
    }
}

/// A disk of which the new part held something before.
#[test]
fn what_the_new_part_held_is_no_harm() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&image, 40 * MIB, None);
    fill(disk(&image), "before");
    let mut content = std::fs::read(&image).unwrap();
    content.resize(700 << 20, 0xa5);
    std::fs::write(&image, &content).unwrap();
    grow(&(disk(&image) as Arc<dyn Disk>), false, Flush::ProcessSafe).unwrap();
    fill(disk(&image), "after");
    kernel::assert_workable(&image);

    fsck::mke2fs(&image, 40 * MIB, &["-O", "^metadata_csum,^uninit_bg"]);
    let refused = grow(&lengthened(&image, 90 * MIB), false, Flush::ProcessSafe).unwrap_err();
    assert!(matches!(refused, Error::Incompatible { .. }), "{refused}");
    fsck::assert_clean(&image);
}

#[test]
fn a_dirty_journal_is_replayed_first() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["-b", "4096", "-O", "orphan_file"]] {
        let image = crate::dirty::killed(folder.path(), arguments);
        let expected = below(&engine::tree_of(&engine::open(&image)));
        grow(&lengthened(&image, 3 * GIB), true, Flush::ProcessSafe).unwrap();
        fsck::assert_clean(&image);
        manifest::assert_same(("before", &expected), ("grown", &below(&engine::tree(&image))));
        kernel::assert_workable(&image);
    }
}

#[test]
fn a_resize_inode_that_lies_is_not_believed() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&image, 100 * MIB, None);
    let debugfs = fsck::tool("debugfs")
        .args(["-w", "-R", "sif <7> block[DIND] 40000"])
        .arg(&image)
        .output()
        .unwrap();
    assert!(debugfs.status.success());
    let before = std::fs::read(&image).unwrap();
    let refused = grow(&lengthened(&image, 9 * GIB), true, Flush::ProcessSafe).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    File::options().write(true).open(&image).unwrap().set_len(100 * MIB).unwrap();
    assert!(std::fs::read(&image).unwrap() == before);
}

/// Old or new, and right either way, for e2fsck, for our own replay, and for the kernel.
#[test]
fn a_crash_leaves_the_old_size_or_the_new() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("crash.img");
    let mut random = Random::new(3);
    let sample =
        std::env::var("BANGER_CRASH_SAMPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    for (name, from, to, arguments) in [
        ("more descriptors", 12 << 20, 28 << 20, &["-g", "1024"][..]),
        ("meta_bg at last", 12 << 20, 50 << 20, &["-g", "1024", "-E", "resize=24000"]),
        ("no checksums", 12 << 20, 30 << 20, &["-O", "^metadata_csum,^64bit"]),
    ] {
        let common = ["-b", "1024", "-J", "size=2"];
        fsck::mke2fs(&image, from, &[&common, arguments].concat());
        fill(disk(&image), "before");
        drop(lengthened(&image, to));
        let before = std::fs::read(&image).unwrap();
        let tree = |content: &[u8]| {
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content.to_vec()));
            let filesystem = Filesystem::open(disk).unwrap();
            (filesystem.geometry().blocks_count, below(&engine::tree_of(&filesystem)))
        };
        let (old, files) = tree(&before);
        let recorder = Arc::new(Recorder::new(before.clone()));
        grow(&(Arc::clone(&recorder) as Arc<dyn Disk>), true, Flush::PowerSafe).unwrap();
        let (mut olds, mut news) = (0, 0);
        for (n, writes) in crash_states(&recorder.epochs(), sample, &mut random).iter().enumerate()
        {
            let mut state = before.clone();
            for (offset, bytes) in writes {
                let at = *offset as usize;
                state[at..at + bytes.len()].copy_from_slice(bytes);
            }
            let (blocks, ours) = tree(&state);
            assert!(ours == files, "{name}: state {n}");
            match blocks == old {
                true => olds += 1,
                false => news += 1,
            }
            std::fs::write(&image, &state).unwrap();
            let said = fsck::tool("e2fsck").arg("-p").arg(&image).output().unwrap();
            assert!(said.status.code().unwrap() <= 1, "{name}: state {n}: {said:?}");
            fsck::assert_clean(&image);
            if n % 6 == 0 {
                std::fs::write(&image, &state).unwrap();
                let theirs = kernel::mounted(&image, "rw", |top| {
                    root::script(r#"touch "$1/before/0"; sync -f "$1""#, &[top.as_os_str()]);
                    kernel::list(top)
                });
                assert_eq!(theirs.len(), files.len() + 1, "{name}: state {n}");
                let said = fsck::tool("e2fsck").arg("-fp").arg(&image).output().unwrap();
                assert!(said.status.code().unwrap() <= 1, "{name}: state {n}: {said:?}");
                fsck::assert_clean(&image);
            }
            // Asked once more it ends at the new size, whatever the crash left.
            std::fs::write(&image, &state).unwrap();
            grow(&(disk(&image) as Arc<dyn Disk>), true, Flush::ProcessSafe).unwrap();
            fsck::assert_clean(&image);
            assert!(engine::open(&image).geometry().blocks_count > old);
            assert!(below(&engine::tree(&image)) == files, "{name}: state {n}");
        }
        let features = dump(&image, &["Filesystem features"]).concat();
        println!("{name}: {olds} old, {news} new, at last {features}");
        assert_eq!(features.contains("meta_bg"), name.contains("meta_bg"));
        assert!(olds > 5 && news > 5, "{name}: both sides of the commit point were seen");
    }
}
