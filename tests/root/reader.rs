//! Our reader beside the kernel: the same trees, on filesystems of many makes.

use std::path::Path;

use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

/// Everything that is stored in a way of its own.
const FILL: &str = r#"
    set -e
    cd "$1"
    mkdir -p a/b/c/d many deep 'a name with "quotes" and \ and
newline'
    echo hello > a/hello; chmod 4755 a/hello; chown 70000:80000 a/hello
    : > a/empty
    head -c 59 /dev/urandom > a/small; head -c 100 /dev/urandom > a/inline
    head -c 3000000 /dev/urandom > a/random
    truncate -s 50M a/sparse
    for n in $(seq 0 7 900); do printf x | dd of=a/holes bs=1 seek=$((n * 5000)) conv=notrunc status=none; done
    fallocate -l 3M a/unwritten 2>/dev/null || truncate -s 3M a/unwritten; printf yes | dd of=a/unwritten bs=1 seek=1000000 conv=notrunc status=none
    ln a/hello a/b/again; ln a/hello deep/third
    ln -s hello a/short; ln -s "$(head -c 59 /dev/zero | tr '\0' x)" a/fast
    ln -s "$(head -c 60 /dev/zero | tr '\0' x)" a/slow; ln -s /a/b a/b/c/absolute
    ln -s ../../../a/./b//c a/b/c/dots
    mkfifo a/pipe; mknod a/null c 1 3; mknod a/loop b 7 300; mknod a/old b 8 1
    touch -d '1901-12-14 00:00:00' a/before; touch -d '2200-01-02 03:04:05.678901234' a/after
    for n in $(seq ${2}); do : > "many/file-number-$n-with-a-name-that-is-long-enough-to-fill-blocks"; done
    setfattr -n user.note -v "a-value" a/hello 2>/dev/null || true
    setfattr -n user.long -v "$(head -c 700 /dev/zero | tr '\0' v)" a/small 2>/dev/null || true
    setfattr -n trusted.t -v "" a/b 2>/dev/null || true
    sync -f .
"#;

fn compare(make: &str, size: u64, options: &[&str], names: u32) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fsck::mke2fs(&image, size, options);
    kernel::mounted(&image, "rw", |mounted| {
        let names = names.to_string();
        root::script(FILL, &[mounted.as_os_str(), names.as_ref()]).expect("root is to be had");
        set_attributes(mounted);
    });
    fsck::assert_clean(&image);
    let by_kernel = kernel::tree(&image);
    let by_us = engine::tree(&image);
    assert!(
        by_kernel.len() > names as usize + 25,
        "{make}: the tree was filled ({})",
        by_kernel.len()
    );
    manifest::assert_same((make, &by_kernel), ("our reader", &by_us));
}

/// Attributes and lists of rights, where the tools for them are missing.
fn set_attributes(top: &Path) {
    use rustix::fs::{XattrFlags, setxattr};
    let set = |path: &str, name: &str, value: &[u8]| {
        setxattr(top.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    set("a/random", "user.one", b"1");
    set("a/random", "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    // user::rw-, user:1234:r--, group::r--, mask::r--, other::---
    let acl: Vec<u8> = [(1u16, 6u16, !0u32), (2, 4, 1234), (4, 4, !0), (16, 4, !0), (32, 0, !0)]
        .iter()
        .flat_map(|(tag, bits, id)| {
            [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        })
        .collect();
    set("a/random", "system.posix_acl_access", &[&2u32.to_le_bytes()[..], &acl].concat());
    set("a/b", "user.big", &[b'x'; 900]);
}

#[test]
fn the_reader_sees_what_the_kernel_sees() {
    needs_kernel!();
    if rustix::process::geteuid().is_root() {
        let gib = 1 << 30;
        compare("the defaults", gib, &[], 3000);
        let all = "metadata_csum_seed,orphan_file";
        compare("newer defaults", gib, &["-O", all], 100);
        compare("small blocks", gib / 2, &["-b", "1024"], 20_000);
        compare("inline data", gib, &["-O", "inline_data"], 300);
        compare("no extents", gib, &["-O", "^extent,^64bit,^metadata_csum"], 300);
        let old = "none,has_journal,filetype,large_file";
        compare("ext3 of old", gib, &["-O", old, "-I", "128"], 300);
        let seldom = "meta_bg,^resize_inode,large_dir,sparse_super2";
        compare("seldom seen", gib, &["-O", seldom, "-I", "512", "-b", "2048"], 1000);
        compare("bigalloc", gib, &["-O", "bigalloc", "-C", "65536"], 100);
        compare("no csum, uninit_bg", gib, &["-O", "^metadata_csum,uninit_bg"], 100);
    } else {
        banger_tests::skip("attributes are set as root only");
    }
}

#[test]
fn a_tree_taken_out_as_an_ordinary_user_is_the_tree() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fsck::mke2fs(&image, 1 << 30, &[]);
    kernel::mounted(&image, "rw", |mounted| {
        root::script(FILL, &[mounted.as_os_str(), "100".as_ref()]).expect("root is to be had");
    });
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let top = std::fs::File::open(&out).unwrap();
    let fs = engine::open(&image);
    let limits = banger_ext4::Limits::default();
    let path = banger_ext4::ImagePath::root();
    let done = fs.extract(&path, std::os::fd::AsFd::as_fd(&top), &limits).unwrap();
    assert_eq!(done.skipped.len(), 4, "{:?}", done.skipped);
    // What extraction keeps: paths, kinds, rwx bits, sizes, times, targets, content.
    let plain = |lines: Vec<String>| -> Vec<String> {
        let mut kept: Vec<String> = lines
            .into_iter()
            .filter(|line| !line.starts_with("/ ") && line.split(' ').nth(1) != Some("dir"))
            .filter(|line| ![" char ", " block ", " fifo "].iter().any(|kind| line.contains(kind)))
            .map(|line| {
                let words = line.split(' ').filter(|word| {
                    !["links=", "same=", "user.", "trusted."].iter().any(|w| word.starts_with(w))
                });
                let words: Vec<_> = words
                    .map(|word| if word == "4755" || word == "6755" { "0755" } else { word })
                    .filter(|word| !word.contains(':') || word.starts_with('/'))
                    .collect();
                words.join(" ")
            })
            .collect();
        kept.sort();
        kept
    };
    let expected = plain(engine::tree(&image));
    let found = plain(manifest::of_mounted(&out));
    assert!(found.len() > 100);
    manifest::assert_same(("the image", &expected), ("what was taken out", &found));
    // A second time into the same place must not touch what is there.
    assert!(fs.extract(&path, std::os::fd::AsFd::as_fd(&top), &limits).is_err());
    use std::os::unix::fs::MetadataExt;
    let sparse = std::fs::metadata(out.join("a/sparse")).unwrap();
    assert_eq!((sparse.len(), sparse.blocks()), (50 << 20, 0), "holes stay holes");
}

#[test]
fn the_end_of_a_file_beyond_four_gigabytes_is_found() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for options in [&[][..], &["-O", "^extent,^64bit,^metadata_csum"]] {
        let image = folder.path().join("image");
        fsck::mke2fs(&image, 1 << 30, options);
        kernel::mounted(&image, "rw", |mounted| {
            let script = r#"truncate -s 5G "$1/huge"
                printf end | dd of="$1/huge" bs=1 seek=5000000000 conv=notrunc status=none
                sync -f "$1""#;
            root::script(script, &[mounted.as_os_str()]).expect("root is to be had");
        });
        let fs = engine::open(&image);
        let path = banger_ext4::ImagePath::new("/huge").unwrap();
        assert_eq!(fs.stat(&path).unwrap().size, 5 << 30);
        let mut bytes = [1; 7];
        assert_eq!(fs.read_range(&path, 4_999_999_998, &mut bytes).unwrap(), 7);
        assert_eq!(&bytes, b"\0\0end\0\0");
        assert_eq!(fs.read_range(&path, (5 << 30) - 2, &mut bytes).unwrap(), 2);
        assert!(fs.read_file(&path, 1000).is_err(), "longer than the limit");
    }
}

/// `stat -f` of a mounted image, in the order of [`banger_ext4::Statfs`].
fn kernels_statfs(image: &Path) -> Vec<u64> {
    kernel::mounted(image, "ro", |top| {
        let asked = ["-f", "-c", "%S %b %f %a %c %d"];
        let output = std::process::Command::new("stat").args(asked).arg(top).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().map(|number| number.parse().unwrap()).collect()
    })
}

#[test]
fn what_is_free_is_what_the_kernel_says_is_free() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    for (size, arguments, known) in [
        (64 << 20, &[][..], true),
        (64 << 20, &["-b", "1024", "-O", "^has_journal"], true),
        (700 << 20, &["-m", "17"], true),
        (300 << 20, &["-O", "meta_bg,^resize_inode", "-b", "1024"], true),
        (64 << 20, &["-O", "bigalloc"], true),
        (64 << 20, &["-O", "^extents,^64bit"], true),
        (64 << 20, &["-b", "4096"], false),
        (200 << 20, &["-b", "1024"], false),
    ] {
        fsck::mke2fs(&image, size, arguments);
        if !known {
            let forget = ["-w", "-R", "ssv overhead_clusters 0"];
            let done = fsck::tool("debugfs").args(forget).arg(&image).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        let statfs = engine::open(&image).statfs();
        let ours = [
            statfs.block_size.into(),
            statfs.blocks,
            statfs.blocks_free,
            statfs.blocks_available,
            statfs.inodes.into(),
            statfs.inodes_free.into(),
        ];
        assert_eq!(ours.to_vec(), kernels_statfs(&image), "{arguments:?}");
    }
}
