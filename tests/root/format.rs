//! Filesystems of our own making before e2fsck, the kernel, and mke2fs's.

use std::path::Path;
use std::process::Command;

use banger_ext4::{FileDisk, FormatOptions, Inodes, Journal, Timestamp, format};
use banger_tests::{engine, fsck, kernel, manifest};

use crate::needs_kernel;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// That of [`options`].
const UUID: &str = "30313233-3435-3637-3839-616263646566";

fn options() -> FormatOptions {
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };
    FormatOptions { zeroed: true, ..FormatOptions::new(*b"0123456789abcdef", [7; 16], now) }
}

fn make(image: &Path, size: u64, options: &FormatOptions) {
    let file = std::fs::File::create_new(image).unwrap();
    file.set_len(size).unwrap();
    format(&FileDisk::new(file).unwrap(), options).unwrap();
}

/// Formats, then asks e2fsck and, up to some size, the kernel.
fn exercise(size: u64, options: &FormatOptions, mount: bool) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    make(&image, size, options);
    if mount {
        let lines = kernel::assert_workable(&image);
        assert_eq!(lines.len(), 2, "{size}: {lines:?}");
        assert!(lines[0].starts_with("/ dir 0755 0:0"), "{lines:?}");
        assert!(lines[1].starts_with("/lost+found dir 0700 0:0"), "{lines:?}");
        assert_eq!(engine::tree(&image).len(), 53, "what the kernel wrote is read");
    } else {
        fsck::assert_clean(&image);
    }
}

#[test]
fn e2fsck_and_the_kernel_take_what_format_makes() {
    needs_kernel!();
    let plain = options();
    for size in [MIB, 2 * MIB, 3 * MIB + 1000, 8 * MIB, 9 * MIB, 100 * MIB, 511 * MIB] {
        exercise(size, &plain, size >= 3 * MIB);
    }
    // One block more and less than whole groups, and a last group of every kind.
    for rest in [0, 1, 49, 51, 100, 1000, 32_767] {
        exercise(GIB + rest * 4096 + 17, &plain, rest == 1000);
    }
    for size in [GIB, 8 * GIB, 40 * GIB] {
        exercise(size, &plain, true);
    }
}

#[test]
fn options_are_kept() {
    needs_kernel!();
    let variations = [
        FormatOptions { block_size: Some(2048), ..options() },
        FormatOptions { block_size: Some(1024), zeroed: false, ..options() },
        FormatOptions { block_size: Some(4096), ..options() },
        FormatOptions { inodes: Inodes::Count(100_000), ..options() },
        FormatOptions { inodes: Inodes::Ratio(1 << 20), ..options() },
        FormatOptions { journal: Journal::None, ..options() },
        FormatOptions { journal: Journal::Blocks(60_000), ..options() },
        FormatOptions { orphan_file: true, csum_seed: true, ..options() },
        FormatOptions { orphan_file: true, block_size: Some(1024), ..options() },
        FormatOptions { reserved_percent: 0, label: b"a label".to_vec(), ..options() },
    ];
    for options in &variations {
        exercise(GIB, options, true);
    }
    exercise(300 * MIB, &FormatOptions { block_size: Some(4096), ..options() }, true);
    exercise(20 * GIB, &FormatOptions { block_size: Some(1024), ..options() }, true);
}

#[test]
fn sparse_files_of_terabytes_cost_their_descriptors() {
    needs_kernel!();
    // As large as a file can be on ext4; with fewer inodes than usual, since e2fsck takes 60
    // bytes of memory for each of them.
    let few = FormatOptions { inodes: Inodes::Ratio(4 << 20), ..options() };
    let largest = (16 << 40) - 4096;
    let all = [(1u64 << 40, 30 * MIB, options()), (largest, 600 * MIB, few)];
    for (size, most, options) in all {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        make(&image, size, &options);
        use std::os::unix::fs::MetadataExt;
        let taken = std::fs::metadata(&image).unwrap().blocks() * 512;
        assert!(taken < most, "{size} takes {taken}");
        let lines = kernel::mounted(&image, "rw", |top| {
            std::fs::write(top.join("file"), "content").unwrap();
            kernel::list(top)
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        fsck::assert_clean(&image);
    }
}

#[test]
fn a_disk_that_was_dirty_before_is_no_harm() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, vec![0xa5; 64 << 20]).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    let options = FormatOptions { zeroed: false, ..options() };
    format(&FileDisk::new(file).unwrap(), &options).unwrap();
    assert_eq!(kernel::assert_workable(&image).len(), 2);
}

/// The lines of `dumpe2fs -h` that do not depend on the moment.
fn dump(image: &Path) -> Vec<String> {
    let out = fsck::tool("dumpe2fs").arg("-h").arg(image).output().unwrap();
    let own = ["Filesystem UUID", "created", "time:", "checked", "Hash Seed", "Checksum:"];
    // The room to grow is chosen otherwise, which shows in these.
    let grown = ["Reserved GDT", "Overhead", "Free blocks", "Lifetime writes", "Last write"];
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines()
        .filter(|line| !own.iter().chain(&grown).any(|word| line.contains(word)))
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn it_is_what_mke2fs_would_have_made() {
    needs_kernel!();
    let newer = FormatOptions { orphan_file: true, csum_seed: true, ..options() };
    for (size, options) in [MIB, 8 * MIB, 64 * MIB, 600 * MIB, 8 * GIB, 300 * GIB, 5 << 40]
        .map(|size| (size, options()))
        .into_iter()
        .chain([9 * MIB, 600 * MIB, 8 * GIB].map(|size| (size, newer.clone())))
    {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        make(&ours, size, &options);
        let features = match options.orphan_file {
            true => "orphan_file,metadata_csum_seed",
            false => "^orphan_file,^metadata_csum_seed",
        };
        std::fs::File::create(&theirs).unwrap().set_len(size).unwrap();
        let status = Command::new("/usr/sbin/mkfs.ext4")
            .args(["-q", "-F", "-U", UUID, "-E", "nodiscard,lazy_journal_init=1", "-O", features])
            .arg(&theirs)
            .stderr(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        manifest::assert_same(("ours", &dump(&ours)), ("mke2fs", &dump(&theirs)));
    }
}
