//! Hostile images: whatever bytes change, reading ends, and ends without a panic.

use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, Disk, FileKind, Filesystem, Flush, ImagePath, Limits, MemoryDisk, check,
    journal,
};

use crate::support::{filled, missing};

/// A small generator, so that a failure can be repeated from its number.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }

    /// Values that break assumptions more often than random ones.
    fn value(&mut self) -> u32 {
        match self.below(8) {
            0 => 0,
            1 => u32::MAX,
            2 => 0xf30a,
            3 => 1 << self.below(32),
            4 => self.below(20) as u32,
            5 => self.below(8192) as u32,
            _ => self.below(1 << 32) as u32,
        }
    }
}

/// Byte ranges worth changing: everything that is not a file's data.
fn metadata(bytes: &[u8]) -> Vec<std::ops::Range<u64>> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(bytes.to_vec()));
    let fs = Filesystem::open_as_is(disk).unwrap();
    let geometry = *fs.geometry();
    let block = u64::from(geometry.block_size);
    let mut ranges = Vec::new();
    ranges.push(1024..2048);
    ranges
        .push(geometry.offset(geometry.gdt_block(0))..geometry.offset(geometry.gdt_block(0)) + 256);
    let table = geometry.offset(fs.descriptors()[0].inode_table());
    ranges.push(table..table + 40 * u64::from(geometry.inode_size));
    let root = ImagePath::root();
    let mut inodes = vec![8];
    fs.walk(&root, &Limits::default(), &mut |entry| {
        if entry.stat.kind == FileKind::Directory || entry.stat.size > 1000 {
            inodes.push(entry.stat.ino);
        }
        Ok(())
    })
    .unwrap();
    for ino in inodes {
        let Ok(inode) = fs.inode(ino) else { continue };
        let Ok(mut map) = fs.block_map(ino, &inode) else { continue };
        let tree = map.tree_blocks(10_000).unwrap();
        ranges.extend(tree.nodes.iter().map(|n| n * block..(n + 1) * block));
        let is_directory = inode.kind() == Some(FileKind::Directory);
        if let Some(extent) = tree.data.first().filter(|_| is_directory || ino == 8) {
            let start = extent.start * block;
            ranges.push(start..start + 4 * block);
        }
    }
    ranges
}

/// Reads everything there is, within limits.
fn read_all(bytes: Vec<u8>) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(bytes));
    let Ok(fs) = Filesystem::open(Arc::clone(&disk)) else {
        // Refused: what the other entrances make of it must not panic either.
        let _ = journal::replay(&disk);
        return;
    };
    let limits = Limits { depth: 20, entries: 3000, bytes: 1 << 24 };
    let root = ImagePath::root();
    let _ = fs.walk(&root, &limits, &mut |entry| {
        let Ok(path) = ImagePath::new([b"/", entry.path.as_slice()].concat()) else {
            return Ok(());
        };
        let _ = fs.lstat(&path);
        let _ = fs.exists(&path);
        let _ = fs.xattrs(&path);
        let _ = fs.read_link(&path);
        let _ = fs.read_file(&path, 1 << 22);
        let _ = fs.read_dir(&path, 3000);
        let _ = fs.read_range(&path, entry.stat.size / 2, &mut [0; 5000]);
        if let Ok(mut map) = fs.inode(entry.stat.ino).and_then(|i| fs.block_map(entry.stat.ino, &i))
        {
            let _ = map.tree_blocks(5000);
        }
        Ok(())
    });
    // Names that exist in the image as it was.
    for path in ["/a/b/large", "/sparse", "/link", "/loop", "/many/nothing", "/dangling"] {
        let path = ImagePath::new(path).unwrap();
        let _ = fs.stat(&path);
        let _ = fs.read_file(&path, 1 << 22);
    }
    let _ = journal::JournalLocation::find(&fs);
    let _ = check(&fs);
}

/// Changes what there is, and commits.
fn change(bytes: Vec<u8>) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(bytes));
    let Ok(mut batch) = Batch::open(disk) else { return };
    let path = |text: &str| ImagePath::new(text).unwrap();
    let plain = Attributes { mode: 0o644, uid: 0, gid: 0 };
    let _ = batch.write_file(&path("/a/small"), plain, &[7; 20_000]);
    let _ = batch.make_directories(&path("/new/and/deep"), plain);
    for n in 0..20 {
        let _ = batch.write_file(&path(&format!("/many/another-{n}")), plain, b"content");
    }
    let _ = batch.symlink(&path("/link"), b"elsewhere", 0, 0);
    let _ = batch.remove(&path("/sparse"));
    let _ = batch.remove_recursive(&path("/a/b"));
    let _ = batch.set_attributes(&path("/again"), plain);
    let _ = batch.commit(Flush::ProcessSafe);
}

fn torture(name: &str, options: &[&str], dirty: bool, rounds: u64, work: fn(Vec<u8>)) {
    let image = filled(3 << 20, options, 100);
    let mut start = std::fs::read(&image.path).unwrap();
    let ranges = metadata(&start);
    if dirty {
        // needs_recovery, so that the journal is believed.
        start[1024 + 0x60] |= 4;
    }
    for round in 0..rounds {
        let mut random = Random((round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = start.clone();
        for _ in 0..=random.below(6) {
            let range = &ranges[random.below(ranges.len() as u64) as usize];
            let at = (range.start + random.below(range.end - range.start)) as usize & !1;
            let value = random.value().to_le_bytes();
            let len = [1, 2, 4][random.below(3) as usize];
            for (to, from) in bytes[at..].iter_mut().zip(&value[..len]) {
                *to = *from;
            }
        }
        let result = std::panic::catch_unwind(|| work(bytes));
        assert!(result.is_ok(), "{name}: round {round} panicked");
    }
}

#[test]
fn changed_bytes_end_in_an_error_or_an_answer() {
    if missing("mkfs.ext4") {
        return;
    }
    // Without checksums, so that changes are not all refused at the door.
    let plain = "^metadata_csum";
    let rounds = rounds();
    let journal = ["-O", plain, "-J", "size=1"];
    torture("extents", &["-O", plain], false, rounds, read_all);
    torture("journal", &journal, true, rounds, read_all);
    torture("block lists", &["-O", "^metadata_csum,^extent,^64bit"], false, rounds, read_all);
    torture("inline data", &["-O", "^metadata_csum,inline_data"], false, rounds, read_all);
    torture("checksums", &[], false, rounds / 4, read_all);
}

#[test]
fn changed_bytes_do_no_harm_to_a_batch() {
    if missing("mkfs.ext4") {
        return;
    }
    let rounds = rounds();
    torture("extents", &["-O", "^metadata_csum"], false, rounds, change);
    torture("old groups", &["-O", "^metadata_csum,^uninit_bg,^flex_bg"], false, rounds, change);
    torture("checksums", &[], false, rounds / 4, change);
}

/// How many mutants of each make; BANGER_MUTANTS=20000 is a long run.
fn rounds() -> u64 {
    std::env::var("BANGER_MUTANTS").ok().and_then(|number| number.parse().ok()).unwrap_or(120)
}

#[test]
fn cut_short_and_random_disks_are_refused() {
    for len in [0, 1, 1023, 1024, 2047, 2048, 5000] {
        read_all(vec![0; len]);
        read_all(vec![0xff; len]);
    }
    if missing("mkfs.ext4") {
        return;
    }
    let image = filled(3 << 20, &[], 10);
    let whole = std::fs::read(&image.path).unwrap();
    for len in [2048, 4096, 10_000, 1 << 20, (3 << 20) - 1] {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(whole[..len].to_vec()));
        assert!(Filesystem::open(disk).is_err(), "{len} of the bytes are no filesystem");
    }
}
