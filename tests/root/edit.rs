//! Changes to filesystems that mke2fs made, of every kind.

use std::path::Path;
use std::time::Instant;

use banger_ext4::{Attributes, Batch, Error, Flush, Node, Timestamp, Xattr};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::{engine, fsck, kernel, manifest};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

/// A tree such as distributions have, made by the kernel.
pub(crate) const SEED: &str = r#"cd "$1"
    mkdir -p etc usr/sbin usr/bin var/log root/.ssh run
    ln -s usr/sbin sbin; ln -s /run/resolv.conf etc/resolv.conf; ln -s ../usr/bin etc/up
    for n in $(seq 40); do echo "$n" > etc/conf$n; done
    head -c 300000 /dev/urandom > usr/bin/tool; ln usr/bin/tool usr/bin/alias
    setfattr -n user.note -v hello etc/conf1 2>/dev/null || true
    mknod dev0 c 1 3
    mkdir full; for n in $(seq 300); do : > full/an-entry-with-a-longer-name-$n; done
    "#;

fn seeded(folder: &Path, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let image = folder.join(format!("{name}.img"));
    fsck::mke2fs(&image, 64 << 20, arguments);
    kernel::mounted(&image, "rw", |mounted| {
        banger_tests::root::script(SEED, &[mounted.as_os_str()]).unwrap();
    });
    image
}

pub(crate) fn change(batch: &mut Batch) -> banger_ext4::Result<()> {
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    batch.write_file(&path("/etc/hostname"), FILE, b"web\n")?;
    batch.write_file(&path("/etc/resolv.conf"), FILE, b"nameserver 10.0.2.3\n")?;
    batch.write_file(&path("/etc/conf1"), Attributes { mode: 0o600, uid: 70_000, gid: 5 }, b"")?;
    batch.write_file(&path("/sbin/banger-network"), FOLDER, b"#!/bin/sh\n")?;
    batch.write_file(&path("/etc/up/big"), FILE, &big)?;
    batch.write_file(&path("/usr/bin/alias"), FOLDER, b"another file now")?;
    batch.write_file(&path("/etc/quo\"te\\ 'and\nline"), FILE, "\u{fc}".as_bytes())?;
    batch.make_directory(&path("/etc/banger"), FOLDER)?;
    batch.make_directory(&path("/sbin"), Attributes { mode: 0o711, uid: 0, gid: 0 })?;
    batch.make_directories(&path("/srv/a/b/c"), FOLDER)?;
    batch.symlink(&path("/srv/a/short"), b"b/c", 1, 2)?;
    batch.symlink(&path("/srv/a/long"), "x/".repeat(300).as_bytes(), 0, 0)?;
    batch.hard_link(&path("/etc/hostname"), &path("/srv/hostname"))?;
    batch.make_node(&path("/srv/null"), FILE, Node::CharDevice(1, 3))?;
    batch.make_node(&path("/srv/far"), FILE, Node::BlockDevice(300, 70_000))?;
    batch.make_node(&path("/srv/pipe"), FILE, Node::Fifo)?;
    batch.make_node(&path("/srv/socket"), FILE, Node::Socket)?;
    batch.set_attributes(&path("/etc/conf2"), Attributes { mode: 0o4755, uid: 1, gid: 2 })?;
    batch.fix_root()?;
    let long_ago = Timestamp { seconds: -5, nanoseconds: 0 };
    batch.set_times(&path("/etc/conf3"), long_ago.into())?;
    let attributes: Vec<Xattr> = [("user.a", 10), ("user.b", 400), ("trusted.c", 80)]
        .iter()
        .map(|(name, len)| Xattr { name: name.as_bytes().to_vec(), value: vec![b'v'; *len] })
        .collect();
    batch.set_xattrs(&path("/etc/conf4"), &attributes)?;
    batch.set_xattrs(&path("/etc"), &attributes[..1])?;
    batch.rename(&path("/etc/conf21"), &path("/etc/conf22"))?;
    batch.rename(&path("/full"), &path("/srv/full"))?;
    batch.rename(&path("/srv/full/an-entry-with-a-longer-name-9"), &path("/srv/a/9"))?;
    for n in 5..20 {
        batch.remove(&path(format!("/etc/conf{n}")))?;
    }
    batch.remove(&path("/dev0"))?;
    batch.remove_recursive(&path("/var"))
}

#[test]
fn a_batch_that_is_dropped_or_refused_changes_nothing() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = seeded(folder.path(), "same", &[]);
    let before = std::fs::read(&image).unwrap();
    let mut batch = Batch::open(disk(&image)).unwrap();
    change(&mut batch).unwrap();
    drop(batch);
    assert!(std::fs::read(&image).unwrap() == before, "dropped");

    let mut batch = Batch::open(disk(&image)).unwrap();
    for (missing, what) in [("/no/file", "parent"), ("/etc/conf1/x", "file as parent")] {
        let refused = batch.write_file(&path(missing), FILE, b"x").unwrap_err();
        let kind = matches!(refused, Error::NotFound { .. } | Error::WrongType { .. });
        assert!(kind, "{what}: {refused}");
    }
    assert!(matches!(batch.write_file(&path("/etc"), FILE, b""), Err(Error::WrongType { .. })));
    assert!(matches!(batch.remove(&path("/etc")), Err(Error::WrongType { .. })));
    assert!(matches!(batch.remove(&path("/etc/none")), Err(Error::NotFound { .. })));
    assert!(matches!(batch.remove_recursive(&path("/")), Err(Error::WrongType { .. })));
    assert!(matches!(batch.set_attributes(&path("/etc/none"), FILE), Err(Error::NotFound { .. })));
    // Refused operations leave the batch usable.
    batch.write_file(&path("/etc/after"), FILE, b"x").unwrap();
    let committed = batch.commit(Flush::ProcessSafe).unwrap();
    assert!(committed.blocks > 0);
    assert_right(&image);
}

#[test]
fn a_full_disk_is_an_error_and_stays_as_it_was() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = seeded(folder.path(), "full", &[]);
    let before = std::fs::read(&image).unwrap();
    let mut batch = Batch::open(disk(&image)).unwrap();
    let too_much = vec![b'x'; 70 << 20];
    let refused = batch.write_file(&path("/much"), FILE, &too_much).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
    let refused = batch.commit(Flush::PowerSafe).unwrap_err();
    assert!(matches!(refused, Error::Unfinished { .. }), "{refused}");
    assert!(std::fs::read(&image).unwrap() == before);
    // Inodes run out as well.
    let image = folder.path().join("inodes.img");
    fsck::mke2fs(&image, 16 << 20, &["-N", "64"]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    let refused =
        (0..100).find_map(|n| batch.write_file(&path(format!("/f{n}")), FILE, b"").err()).unwrap();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");
}

/// A file of ext3 times: mapped by indirect blocks. It is replaced, and removed.
#[test]
fn files_without_extents_are_freed_in_whole() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("old.img");
    fsck::mke2fs(&image, 64 << 20, &["-O", "^extents,^64bit,^metadata_csum", "-b", "1024"]);
    kernel::mounted(&image, "rw", |mounted| {
        let script = r#"cd "$1"; mkdir d
            head -c 20000000 /dev/urandom > big; head -c 9000 /dev/urandom > small
            truncate -s 3G sparse; printf end | dd of=sparse bs=1 seek=2000000000 conv=notrunc 2>&1
            for n in $(seq 200); do : > d/a-name-that-fills-the-directory-$n; done"#;
        banger_tests::root::script(script, &[mounted.as_os_str()]).unwrap();
    });
    // tune2fs turns extents on; what is there keeps its indirect blocks.
    let status = fsck::tool("tune2fs").args(["-O", "extents"]).arg(&image).output().unwrap();
    assert!(status.status.success());
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.write_file(&path("/big"), FILE, b"small now").unwrap();
    batch.remove(&path("/sparse")).unwrap();
    for n in 0..200 {
        batch.write_file(&path(format!("/d/one-more-name-{n}")), FILE, b"x").unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    assert_right(&image);
}

/// The kernel lets files with the same attributes share one block.
#[test]
fn shared_blocks_of_attributes_are_not_taken_from_others() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("shared.img");
    fsck::mke2fs(&image, 16 << 20, &[]);
    kernel::mounted(&image, "rw", |top| {
        let script = r#"cd "$1"; v=$(printf 'v%.0s' $(seq 500))
            for n in 1 2 3 4; do echo $n > f$n; setfattr -n user.long -v "$v" f$n; done"#;
        banger_tests::root::script(script, &[top.as_os_str()]).unwrap();
    });
    let blocks = |image: &Path| engine::open(image).superblock().free_blocks_count();
    let before = blocks(&image);
    let mut batch = Batch::open(disk(&image)).unwrap();
    let other = Xattr { name: b"user.other".to_vec(), value: vec![b'o'; 600] };
    batch.set_xattrs(&path("/f1"), std::slice::from_ref(&other)).unwrap();
    batch.remove(&path("/f2")).unwrap();
    batch.write_file(&path("/f3"), FILE, b"replaced").unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    // One block of attributes more, one of content (f2) less.
    assert_eq!(blocks(&image), before);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.set_xattrs(&path("/f4"), &[]).unwrap();
    batch.remove(&path("/f1")).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    let lines = assert_right(&image);
    assert!(lines.iter().all(|line| !line.contains("user.")), "{lines:#?}");
}

#[test]
fn directories_grow_to_thousands_of_names_and_shrink() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments, count) in [
        ("4k", &["-N", "70000"][..], 30_000_u32),
        ("1k", &["-N", "70000", "-b", "1024"], 30_000),
        ("linear", &["-N", "20000", "-O", "^dir_index"], 3000),
    ] {
        let image = folder.path().join(format!("{name}.img"));
        fsck::mke2fs(&image, 256 << 20, arguments);
        let started = Instant::now();
        let mut batch = Batch::open(disk(&image)).unwrap();
        batch.make_directory(&path("/d"), FOLDER).unwrap();
        for n in 0..count {
            let name =
                format!("/d/{:08x}-{}", n.wrapping_mul(0x9e37_79b9), "n".repeat(n as usize % 60));
            batch.write_file(&path(name), FILE, b"").unwrap();
        }
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        println!("{name}: {count} names in {:?}", started.elapsed());
        fsck::assert_clean(&image);
        let mut batch = Batch::open(disk(&image)).unwrap();
        for n in (0..count).filter(|n| n % 3 != 0) {
            let name =
                format!("/d/{:08x}-{}", n.wrapping_mul(0x9e37_79b9), "n".repeat(n as usize % 60));
            batch.remove(&path(name)).unwrap();
        }
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        // The kernel goes on in what we made, and we in what it made of that.
        kernel::mounted(&image, "rw", |top| {
            let script = r#"cd "$1/d"; seq -f 'kernel-%05g-nnnnnnnnnnnnnnnnnnnn' 4000 | xargs touch
                mkdir ../k; cd ../k; seq -f 'kernel-%05g-nnnnnnnnnnnnnnnnnnnn' 4000 | xargs touch"#;
            banger_tests::root::script(script, &[top.as_os_str()]).unwrap();
        });
        fsck::assert_clean(&image);
        let mut batch = Batch::open(disk(&image)).unwrap();
        for n in 0..1000 {
            for top in ["d", "k"] {
                batch.write_file(&path(format!("/{top}/again-{n}")), FILE, b"").unwrap();
                let name = format!("/{top}/kernel-{:05}-nnnnnnnnnnnnnnnnnnnn", n * 4 + 1);
                batch.remove(&path(name)).unwrap();
            }
        }
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        let lines = assert_right(&image);
        assert_eq!(lines.len() as u32, count.div_ceil(3) + 4 + 2 * 4000);
    }
}

#[test]
fn many_subdirectories_are_more_than_can_be_counted() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("subdirectories.img");
    fsck::mke2fs(&image, 1 << 30, &["-N", "80000", "-b", "1024"]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.make_directory(&path("/d"), FOLDER).unwrap();
    for n in 0..65_100 {
        batch.make_directory(&path(format!("/d/{n}")), FOLDER).unwrap();
    }
    batch.remove(&path("/d/7")).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    let lines = kernel::tree(&image);
    let d = lines.iter().find(|line| line.starts_with("/d dir")).unwrap();
    assert!(d.contains("links=1"), "{d}");
    assert_eq!(lines.len(), 65_099 + 3);
    manifest::assert_same(("ours", &engine::tree(&image)), ("the kernel", &lines));
}

#[test]
fn a_fragmented_disk_gives_deep_trees_of_extents() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("fragments.img");
    fsck::mke2fs(&image, 64 << 20, &["-b", "1024", "-N", "40000"]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    for n in 0..30_000 {
        batch.write_file(&path(format!("/{n}")), FILE, b"one block").unwrap();
    }
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    let mut batch = Batch::open(disk(&image)).unwrap();
    let rest = 17 << 20;
    batch.write_file(&path("/filler"), FILE, &vec![b'f'; rest]).unwrap();
    for n in (0..30_000).step_by(2) {
        batch.remove(&path(format!("/{n}"))).unwrap();
    }
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    let mut batch = Batch::open(disk(&image)).unwrap();
    // More than fits the nodes of one level: 84 * 84 extents of one block.
    let content: Vec<u8> = (0..14_000_000_u32).map(|n| (n % 251) as u8 + 1).collect();
    batch.write_file(&path("/fragments"), FILE, &content).unwrap();
    assert_eq!(batch.read_file(&path("/fragments"), u64::MAX).unwrap(), content);
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    assert_right(&image);
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.remove(&path("/fragments")).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
}

#[test]
fn names_move_as_rename_2_moves_them() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["-b", "1024"][..], &["-b", "1024", "-O", "^filetype"], &["-O", "^dir_index"]]
    {
        let image = seeded(folder.path(), "moved", arguments);
        let mut batch = Batch::open(disk(&image)).unwrap();
        let refused = |batch: &mut Batch, from: &str, to: &str| {
            batch.rename(&path(from), &path(to)).unwrap_err()
        };
        batch.make_directories(&path("/srv/a/b"), FOLDER).unwrap();
        for (from, to) in [
            ("/", "/x"),
            ("/srv", "/"),
            ("/srv", "/srv/a/b/c"),
            ("/srv", "/srv/a"),
            ("/etc/conf1", "/srv"),
            ("/srv/a", "/etc/conf1"),
            ("/srv/a", "/etc"),
        ] {
            let error = refused(&mut batch, from, to);
            assert!(matches!(error, Error::WrongType { .. }), "{from} {to}: {error}");
        }
        for (from, to) in [("/none", "/x"), ("/etc/conf1", "/none/x"), ("/etc/conf1/x", "/y")] {
            let error = refused(&mut batch, from, to);
            let kind = matches!(error, Error::NotFound { .. } | Error::WrongType { .. });
            assert!(kind, "{from} {to}: {error}");
        }
        // Two names of one file stay, an empty directory makes way, an index moves along.
        batch.rename(&path("/usr/bin/tool"), &path("/usr/bin/alias")).unwrap();
        batch.rename(&path("/full"), &path("/srv/a/b")).unwrap();
        batch.rename(&path("/srv/a"), &path("/moved")).unwrap();
        batch.rename(&path("/dev0"), &path("/sbin")).unwrap();
        batch.rename(&path("/etc/conf1"), &path("/etc/conf2")).unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        let lines = assert_right(&image);
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("/moved/b/an-entry"), 300);
        assert_eq!(count("/usr/bin/tool ") + count("/usr/bin/alias "), 2);
        assert_eq!(count("/sbin char") + count("/etc/conf2 file 0644 0:0 size=2"), 2, "{lines:#?}");
        assert_eq!(count("/etc/conf1 ") + count("/srv/a") + count("/full") + count("/dev0"), 0);
    }
}
