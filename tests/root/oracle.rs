//! The judges themselves: they must accept what is right and see what is wrong.

use std::os::unix::fs::FileExt;

use banger_tests::{fsck, kernel, manifest, skip};

/// Skips the test where the kernel cannot be asked.
#[macro_export]
macro_rules! needs_kernel {
    () => {
        if let Some(reason) = banger_tests::kernel::missing() {
            banger_tests::skip(reason);
            return;
        }
    };
}

#[test]
fn a_filesystem_of_mke2fs_passes() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("plain.img");
    fsck::mke2fs(&image, 16 << 20, &[]);
    let lines = kernel::assert_workable(&image);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("/lost+found dir 0700 0:0"), "{lines:?}");
}

#[test]
fn a_damaged_bitmap_is_seen() {
    if !banger_tests::root::has("mke2fs") {
        skip("e2fsprogs is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("damaged.img");
    fsck::mke2fs(&image, 16 << 20, &["-O", "^metadata_csum"]);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&image).unwrap();
    // s_free_blocks_count_lo
    file.write_all_at(&[1, 2, 3], 1024 + 0x0c).unwrap();
    let verdict = std::panic::catch_unwind(|| fsck::assert_clean(&image));
    assert!(verdict.is_err(), "e2fsck was heard");
}

#[test]
fn a_changed_file_changes_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a\nb"), b"1").unwrap();
    let before = manifest::of_mounted(folder.path());
    std::fs::write(folder.path().join("a\nb"), b"2").unwrap();
    let after = manifest::of_mounted(folder.path());
    assert_eq!(before.len(), 2);
    let verdict = std::panic::catch_unwind(|| {
        manifest::assert_same(("before", &before), ("after", &after));
    });
    assert!(verdict.is_err(), "a difference is told");
}
