//! Files mapped by blocks of pointers, as ext2 and ext3 have them.

use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_ext4::{Attributes, Batch, Error, Flush, HostTree, ImagePath, Ownership};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::profile::Profile;
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

/// Files that reach every level of pointers, with holes before, between and behind.
const FILES: &str = r#"cd "$1"
    head -c 12000 /dev/urandom > direct; head -c 13000 /dev/urandom > single
    head -c 3000000 /dev/urandom > double; truncate -s 66M triple
    head -c 2000000 /dev/urandom | dd of=triple bs=1000000 seek=66 conv=notrunc status=none
    truncate -s 160M holes
    for n in 0 11 12 267 268 269 65803 65804 65805 150000; do
        printf "block $n" | dd of=holes bs=1024 seek=$n conv=notrunc status=none; done
    : > empty"#;

fn host_tree(folder: &Path) -> std::path::PathBuf {
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).unwrap();
    root::script(FILES, &[tree.as_os_str()]).unwrap();
    tree
}

fn ingest(image: &Path, tree: &Path) {
    let mut batch = Batch::open(disk(image)).unwrap();
    let mut source = HostTree::open(tree).unwrap();
    batch.ingest(&ImagePath::root(), &mut source, Ownership::Root).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
}

/// Contents alone: owners and times are another test's.
fn contents(lines: &[String]) -> Vec<String> {
    let kept = lines.iter().filter(|line| line.contains(" file "));
    kept.map(|line| {
        let name = line.split(' ').next().unwrap();
        format!("{name} {}", line.rsplit(' ').next().unwrap())
    })
    .collect()
}

#[test]
fn every_level_of_pointers_is_written_and_freed() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let tree = host_tree(folder.path());
    let expected = contents(&manifest::of_mounted(&tree));
    for name in ["ext2-small", "no-extents"] {
        let image = folder.path().join("image");
        Profile::named(name).make(&image, 256 << 20);
        let free = |image: &Path| engine::open(image).statfs().blocks_free;
        let before = free(&image);
        ingest(&image, &tree);
        fsck::assert_clean(&image);
        assert_eq!(contents(&engine::tree(&image)), expected, "{name}");
        assert_eq!(contents(&kernel::tree(&image)), expected, "{name}");
        // The kernel goes on in what we made: longer, shorter, and into the holes.
        kernel::mounted(&image, "rw", |top| {
            let script = r#"cd "$1"; for f in direct single double triple; do printf more >> $f; done
                printf into | dd of=triple bs=1 seek=30000000 conv=notrunc status=none
                truncate -s 70000 holes; head -c 70000000 /dev/zero | tr '\0' x > theirs"#;
            root::script(script, &[top.as_os_str()]).unwrap();
        });
        fsck::assert_clean(&image);
        manifest::assert_same(("ours", &engine::tree(&image)), ("theirs", &kernel::tree(&image)));
        let mut batch = Batch::open(disk(&image)).unwrap();
        for file in ["/direct", "/single", "/double", "/triple", "/theirs", "/empty"] {
            batch.remove(&path(file)).unwrap();
        }
        batch.write_file(&path("/holes"), FILE, b"short now").unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        fsck::assert_clean(&image);
        assert_eq!(free(&image), before - 1, "{name}: everything but a block is free again");
    }
}

#[test]
fn the_longest_file_is_the_kernels() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    // The kernel that counts the pointers exactly allows a little more.
    for (name, exact) in
        [("ext2-small", true), ("ext2", false), ("no-extents", true), ("no-huge_file", true)]
    {
        Profile::named(name).make(&image, 32 << 20);
        let mut batch = Batch::open(disk(&image)).unwrap();
        let refused = batch.write_file_from(&path("/long"), FILE, 5 << 40, &mut std::io::empty());
        let Error::TooLarge { limit, .. } = refused.unwrap_err() else { panic!("{name}") };
        batch.write_file(&path("/short"), FILE, b"x").unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        kernel::mounted(&image, "rw", |top| {
            let file = std::fs::File::create(top.join("kernels")).unwrap();
            file.set_len(limit).unwrap_or_else(|error| panic!("{name}: {limit}: {error}"));
            assert_eq!(file.set_len(limit + 1).is_err(), exact, "{name}: {limit}");
            file.set_len(0).unwrap();
        });
        fsck::assert_clean(&image);
        // In a file of that length all is found again.
        if name == "ext2-small" {
            let tree = folder.path().join("long");
            std::fs::create_dir(&tree).unwrap();
            let file = std::fs::File::create(tree.join("long")).unwrap();
            file.set_len(limit).unwrap();
            file.write_all_at(b"the end", limit - 7).unwrap();
            ingest(&image, &tree);
            fsck::assert_clean(&image);
            let mut bytes = [0; 9];
            let read = engine::open(&image).read_range(&path("/long"), limit - 9, &mut bytes);
            assert_eq!((read.unwrap(), &bytes), (9, b"\0\0the end"));
        }
    }
}

#[test]
fn directories_of_pointers_grow_in_both_hands() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for (name, count) in [("ext2-plain", 600), ("ext3-small", 5000)] {
        let image = folder.path().join("image");
        Profile::named(name).make(&image, 128 << 20);
        let mut batch = Batch::open(disk(&image)).unwrap();
        batch.make_directory(&path("/d"), FOLDER).unwrap();
        batch.write_file(&path("/d/first"), FILE, b"x").unwrap();
        let long = "n".repeat(40);
        for n in 0..count {
            batch.hard_link(&path("/d/first"), &path(format!("/d/{n:05}-{long}"))).unwrap();
        }
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        fsck::assert_clean(&image);
        kernel::mounted(&image, "rw", |top| {
            let script = r#"cd "$1"; mkdir k; : > k/first
                python3 -c 'import os
for n in range(1000):
    os.link("k/first", f"k/{n}-" + "n" * 40)
    os.link("d/first", f"d/k{n}-" + "n" * 30)'"#;
            root::script(script, &[top.as_os_str()]).unwrap();
        });
        fsck::assert_clean(&image);
        let mut batch = Batch::open(disk(&image)).unwrap();
        for n in (0..count).step_by(2) {
            batch.remove(&path(format!("/d/{n:05}-{long}"))).unwrap();
        }
        for n in 0..1000 {
            batch.hard_link(&path("/k/first"), &path(format!("/k/ours-{n}-{long}"))).unwrap();
        }
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        let lines = assert_right(&image);
        assert_eq!(lines.len(), count / 2 + 3000 + 2 + 4, "{name}");
        let mut batch = Batch::open(disk(&image)).unwrap();
        batch.remove_recursive(&path("/d")).unwrap();
        batch.remove_recursive(&path("/k")).unwrap();
        batch.commit_in_order(Flush::ProcessSafe).unwrap();
        fsck::assert_clean(&image);
        assert_eq!(engine::tree(&image).len(), 53, "{name}: all but what the kernel wrote");
    }
}
