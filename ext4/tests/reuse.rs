//! A block that is freed and given out again within one batch holds what came last.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, Filesystem, Flush, FormatOptions, ImagePath, MemoryDisk, Timestamp,
    check, format,
};

const ROOT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// Makes and removes what has blocks of its own, then fills every block that is free.
fn reuse(direct: bool, look: bool) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(8 << 20));
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    format(&*disk, &FormatOptions::new([1; 16], [2; 16], now)).unwrap();
    let open = if direct { Batch::open_direct } else { Batch::open };
    let mut batch = open(Arc::clone(&disk)).unwrap();
    for n in 0..20 {
        batch.make_directory(&path(&format!("/d{n}")), ROOT).unwrap();
        batch.symlink(&path(&format!("/l{n}")), &[b'x'; 200], 0, 0).unwrap();
        batch.write_file(&path(&format!("/f{n}")), ROOT, &[9; 3000]).unwrap();
    }
    if look {
        assert!(batch.exists(&path("/d3")).unwrap());
    }
    for n in 0..20 {
        for kind in ["d", "l", "f"] {
            batch.remove(&path(&format!("/{kind}{n}"))).unwrap();
        }
    }
    let block = batch.filesystem().unwrap().geometry().block_size as usize;
    let free = batch.filesystem().unwrap().superblock().free_blocks_count() as usize;
    // Some blocks stay for the tree that says where the pieces are.
    let content: Vec<u8> = (0..(free - 8) * block).map(|n| (n % 251 + 1) as u8).collect();
    batch.write_file(&path("/all"), ROOT, &content).unwrap();
    batch.commit(Flush::PowerSafe).unwrap();
    let filesystem = Filesystem::open(disk).unwrap();
    let found = check(&filesystem).unwrap();
    assert!(found.is_clean(), "{:?}", found.problems);
    assert!(filesystem.read_file(&path("/all"), u64::MAX).unwrap() == content, "direct: {direct}");
}

#[test]
fn a_block_that_is_given_out_again_holds_what_came_last() {
    for direct in [false, true] {
        for look in [false, true] {
            reuse(direct, look);
        }
    }
}
