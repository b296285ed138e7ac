//! Orphans that still have names: files that were being cut short when the machine stopped.

use std::path::Path;

use banger_ext4::{Batch, Flush};
use banger_tests::image::disk;
use banger_tests::profile::Profile;
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

/// Files and the lengths they are to have: within a block, at its edge, in holes, on each
/// level of pointers, nothing at all, and longer than they are.
const FILES: &[(&str, u64)] = &[
    ("within", 5000),
    ("edge", 8192),
    ("nothing", 0),
    ("hole", 600_000),
    ("behind-hole", 2_000_000),
    ("unwritten", 70_001),
    ("pieces", 33_333),
    ("longer", 900_000),
    ("small", 7),
    ("smaller", 61),
];

const FILL: &str = r#"cd "$1"
    head -c 100000 /dev/urandom > within; head -c 50000 /dev/urandom > edge
    head -c 300000 /dev/urandom > nothing
    head -c 4000 /dev/urandom > hole; truncate -s 3M hole; printf x >> hole
    truncate -s 1900000 behind-hole; head -c 900000 /dev/urandom >> behind-hole
    fallocate -l 200000 unwritten 2>/dev/null || head -c 200000 /dev/zero > unwritten
    printf x | dd of=unwritten bs=1 seek=70000 conv=notrunc status=none
    for n in $(seq 60); do head -c 1000 /dev/urandom | dd of=pieces bs=1 seek=$((n * 9000)) conv=notrunc status=none; done
    head -c 10000 /dev/urandom > longer
    head -c 50 /dev/urandom > small; head -c 100 /dev/urandom > smaller"#;

/// The number of a file's inode.
fn ino(image: &Path, file: &str) -> String {
    let said = fsck::debugfs(image, &format!("stat /{file}\n"));
    let after = said.split("Inode: ").nth(1).expect("debugfs knows the file");
    after.split_whitespace().next().unwrap().to_owned()
}

/// Puts every file on the list of orphans with the length that it was to get.
fn interrupt(image: &Path) {
    let mut script = String::new();
    let mut next = "0".to_owned();
    for (file, size) in FILES {
        let own = ino(image, file);
        script += &format!("sif <{own}> size {size}\nsif <{own}> dtime {next}\n");
        next = own;
    }
    fsck::debugfs(image, &(script + &format!("ssv last_orphan {next}\n")));
}

/// Clean but for trees of extents that could be shorter, which the kernel leaves.
fn assert_sound(image: &Path) {
    let output = fsck::tool("e2fsck").arg("-fn").arg(image).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Everything but the times, which the kernel sets to those of the mount.
fn timeless(lines: &[String]) -> Vec<String> {
    let word = |line: &String| -> Vec<String> {
        line.split(' ').filter(|word| !word.starts_with("mtime=")).map(str::to_owned).collect()
    };
    lines.iter().map(|line| word(line).join(" ")).collect()
}

#[test]
fn files_are_cut_short_as_the_kernel_does() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for name in ["debian-12-small", "ext3-small", "ext2-small", "inline_data-1k"] {
        let (image, theirs) = (folder.path().join("image"), folder.path().join("theirs"));
        Profile::named(name).make(&image, 32 << 20);
        kernel::mounted(&image, "rw", |top| root::script(FILL, &[top.as_os_str()]));
        fsck::assert_clean(&image);
        interrupt(&image);
        kernel::copy(&image, &theirs);
        let before = std::fs::read(&image).unwrap();
        let reader = timeless(&engine::tree_of(&engine::open(&image)));
        assert!(std::fs::read(&image).unwrap() == before, "{name}: reading changed nothing");
        kernel::mounted(&theirs, "rw", |_| ());
        assert_sound(&theirs);
        Batch::open(disk(&image)).unwrap().commit(Flush::PowerSafe).unwrap();
        fsck::assert_clean(&image);
        let (ours, kernels) = (engine::tree(&image), kernel::tree(&theirs));
        manifest::assert_same((name, &timeless(&ours)), ("the kernel", &timeless(&kernels)));
        manifest::assert_same(("what was read before", &reader), ("after", &timeless(&ours)));
        assert_eq!(ours, kernel::tree(&image), "{name}");
        for (file, size) in FILES {
            let start = format!("/{file} file 0644 0:0 size={size} ");
            assert!(ours.iter().any(|line| line.starts_with(&start)), "{name}: {start}");
        }
        let free = |image: &Path| engine::open(image).statfs().blocks_free;
        // An extent tree that lost its pieces may be of fewer blocks with us.
        let (ours, kernels) = (free(&image), free(&theirs));
        assert!((kernels..=kernels + 2).contains(&ours), "{name}: {ours} and {kernels} free");
        // Longer again: what was cut off must not come back.
        for image in [&image, &theirs] {
            kernel::mounted(image, "rw", |top| {
                root::script(
                    r#"for f in "$1"/[a-z]*; do [ -d "$f" ] || truncate -s 3M "$f"; done"#,
                    &[top.as_os_str()],
                )
            });
            assert_sound(image);
        }
        let (ours, kernels) = (kernel::tree(&image), kernel::tree(&theirs));
        manifest::assert_same((name, &timeless(&ours)), ("the kernel", &timeless(&kernels)));
    }
}
