//! A journal whose log is larger than what a worker may have of memory.

use std::path::{Path, PathBuf};

use banger_ext4::{Attributes, Batch, Flush};
use banger_proto::roothelper::{Ext4Found, WriteOutcome};
use banger_tests::image::{disk, path as image_path};
use banger_tests::{engine, fsck};

use super::place::{Place, ROOT, device, file, path, run, small_filesystem};

const BLOCK: usize = 4096;
/// Transactions, and blocks of each: 120 MiB, and a worker has 128 for all that it is.
const TRANSACTIONS: usize = 30;
const BLOCKS: usize = 1024;
/// Blocks that nobody has.
const FIRST: usize = 132_000;

/// A filesystem whose log has that, and last a block of `/etc/hostname`, which is not in its place yet.
fn dirty(folder: &Path) -> PathBuf {
    let image = folder.join("dirty");
    let features = "none,has_journal,filetype,extent,ext_attr,sparse_super,dir_index";
    fsck::mke2fs(&image, 640 << 20, &["-b4096", "-I256", "-Jsize=192", "-O", features]);
    let mut batch = Batch::open(disk(&image)).unwrap();
    let etc = Attributes { mode: 0o755, uid: 0, gid: 0 };
    batch.make_directory(&image_path("/etc"), etc).unwrap();
    batch.write_file(&image_path("/etc/hostname"), ROOT, b"old\n").unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    let fs = engine::open(&image);
    let inode = fs.inode_position(fs.stat(&image_path("/etc/hostname")).unwrap().ino).unwrap();
    let mut extent = [0; 4];
    // i_block, a header of 12 bytes, and the low part of where the first extent is.
    fs.disk().read_at(inode + 40 + 12 + 8, &mut extent).unwrap();
    let hostname = u32::from_le_bytes(extent);

    let (many, one) = (folder.join("many"), folder.join("one"));
    std::fs::write(&many, vec![b'L'; BLOCKS * BLOCK]).unwrap();
    std::fs::write(&one, [&b"new\n"[..], &[0; BLOCK - 4]].concat()).unwrap();
    let mut script = "jo\n".to_owned();
    for first in (0..TRANSACTIONS).map(|n| FIRST + n * BLOCKS) {
        script += &format!("jw -b {first}-{} {}\n", first + BLOCKS - 1, many.display());
    }
    script += &format!("jw -b {hostname} {}\njc\n", one.display());
    fsck::debugfs(&image, &script);
    image
}

fn is(found: &Ext4Found, text: &[u8]) -> bool {
    matches!(found, Ext4Found::File { content, .. } if content == text)
}

#[test]
fn a_log_larger_than_a_workers_memory_is_read_and_replayed() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let image = dirty(place.folder());
    let (workers, hostname) = (place.workers("good"), || vec![path("/etc/hostname")]);
    let at = |number: usize| {
        let mut byte = [0];
        let file = std::fs::File::open(&image).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, (number * BLOCK) as u64)
            .unwrap();
        byte[0]
    };
    let last = FIRST + TRANSACTIONS * BLOCKS - 1;
    assert_eq!((at(FIRST), at(last)), (0, 0), "it is in the log alone");
    let found = run(workers.read(device(&image, ()), hostname(), 100)).unwrap();
    assert!(is(&found[0], b"new\n"), "{found:?}");
    assert_eq!((at(FIRST), at(last)), (0, 0), "reading wrote nothing");

    let outcome = run(workers.write(device(&image, ()), vec![file("/etc/made", "made\n")]));
    assert_eq!(outcome, WriteOutcome::Applied { writes: 1, atomic: true });
    assert_eq!((at(FIRST), at(last)), (b'L', b'L'), "all of the log is in its place");
    let paths = vec![path("/etc/hostname"), path("/etc/made")];
    let found = run(workers.read(device(&image, ()), paths, 100)).unwrap();
    assert!(is(&found[0], b"new\n") && is(&found[1], b"made\n"), "{found:?}");
    fsck::assert_clean(&image);
}
