//! Directories with three levels of index, which only `large_dir` allows.

use std::path::Path;

use banger_ext4::{Attributes, Batch, Error, Flush};
use banger_tests::image::{disk, path};
use banger_tests::profile::Profile;
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
/// Three of these fill a block of 1 KiB, so that few names need many blocks.
fn name(n: u32) -> String {
    format!("{:08x}-{}", n.wrapping_mul(0x9e37_79b9), "n".repeat(246))
}

/// Fills `/d` with so many names of a few files.
fn fill(image: &Path, count: u32) -> banger_ext4::Result<Batch> {
    let mut batch = Batch::open(disk(image))?;
    batch.make_directory(&path("/d"), FOLDER)?;
    batch.make_directory(&path("/f"), FOLDER)?;
    for n in 0..count {
        let file = path(format!("/f/{}", n / 60_000));
        if n % 60_000 == 0 {
            batch.write_file(&file, FILE, b"")?;
        }
        batch.hard_link(&file, &path(format!("/d/{}", name(n))))?;
    }
    Ok(batch)
}

/// `indirect_levels` of an index, as debugfs sees it.
fn levels(image: &Path) -> String {
    let asked = ["-R", "htree_dump /d"];
    let out = fsck::tool("debugfs").args(asked).arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("Indirect levels")).expect("an index");
    line.trim().to_owned()
}

#[test]
fn an_index_gets_a_third_level_where_it_may() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let count = 50_000;
    Profile::named("debian-12-small").make(&image, 256 << 20);
    // The kernel says ENOSPC there, too.
    let refused = fill(&image, count).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused}");

    Profile::named("large_dir").make(&image, 256 << 20);
    fill(&image, count).unwrap().commit_in_order(Flush::ProcessSafe).unwrap();
    assert!(levels(&image).ends_with(" 2"), "{}", levels(&image));
    fsck::assert_clean(&image);
    let lines = engine::tree(&image);
    assert_eq!(lines.len(), count as usize + 5);
    // Names are found through the index, by the kernel as well, which goes on in it.
    kernel::mounted(&image, "rw", |top| {
        let script = r#"python3 -c 'import os, sys
top = sys.argv[1]
names = os.listdir(top + "/d")
assert len(set(names)) == len(names) == 50000, len(names)
for name in names: os.lstat(f"{top}/d/{name}")
for n in range(3000): os.link(top + "/f/0", f"{top}/d/k{n:07}-" + "k" * 246)
for name in names[::5]: os.unlink(f"{top}/d/{name}")' "$1""#;
        root::script(script, &[top.as_os_str()])
    });
    fsck::assert_clean(&image);
    let mut batch = Batch::open(disk(&image)).unwrap();
    for n in 0..3000 {
        batch.remove(&path(format!("/d/k{n:07}-{}", "k".repeat(246)))).unwrap();
        batch.hard_link(&path("/f/0"), &path(format!("/d/o{n:07}-{}", "o".repeat(246)))).unwrap();
    }
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
    let lines = engine::tree(&image);
    assert_eq!(lines.len(), count as usize * 4 / 5 + 3000 + 5);
    manifest::assert_same(("ours", &lines), ("the kernel", &kernel::tree(&image)));
    let mut batch = Batch::open(disk(&image)).unwrap();
    batch.remove_recursive(&path("/d")).unwrap();
    batch.commit_in_order(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(&image);
}
