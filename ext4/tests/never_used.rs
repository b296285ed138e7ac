//! Inode records that were never used: they come into use, and what lies there before is not read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::{Arc, Mutex};

use banger_ext4::{
    Attributes, Batch, Disk, Error, Filesystem, Flush, FormatOptions, ImagePath, MemoryDisk,
    Result, Timestamp, check,
};

const ROOT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// Remembers which bytes of the tables were read before they were written.
struct Watched {
    disk: MemoryDisk,
    tables: Vec<Range<u64>>,
    read: Mutex<Vec<u64>>,
}

impl Disk for Watched {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset + buffer.len() as u64;
        if self.tables.iter().any(|table| offset < table.end && table.start < end) {
            self.read.lock().unwrap().push(offset);
        }
        self.disk.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.disk.write_at(offset, data)
    }
    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }
    fn len(&self) -> u64 {
        self.disk.len()
    }
}

/// A filesystem whose tables hold, where no inode was ever used, bytes that mean nothing.
fn made(zeroed: bool) -> Watched {
    let disk = Arc::new(MemoryDisk::new(300 << 20));
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions { zeroed, ..FormatOptions::new([1; 16], [2; 16], now) };
    let mut batch = Batch::create(Arc::clone(&disk) as Arc<dyn Disk>, &options).unwrap();
    batch.make_directory(&path("/base"), ROOT).unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
    let filesystem = Filesystem::open(Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
    let geometry = *filesystem.geometry();
    let mut tables = Vec::new();
    for descriptor in filesystem.descriptors() {
        let used = match descriptor.bg_flags() & 1 {
            0 => geometry.inodes_per_group - descriptor.itable_unused(),
            _ => 0,
        };
        let table = geometry.offset(descriptor.inode_table());
        let size = u64::from(geometry.inode_size);
        let first = (u64::from(used) * size).next_multiple_of(geometry.block_size.into());
        tables.push(table + first..table + u64::from(geometry.inodes_per_group) * size);
    }
    drop(filesystem);
    let disk = Arc::into_inner(disk).unwrap();
    if !zeroed {
        for table in &tables {
            let len = usize::try_from(table.end - table.start).unwrap();
            disk.write_at(table.start, &vec![0xa5; len]).unwrap();
        }
    }
    Watched { disk, tables, read: Mutex::default() }
}

fn fill(batch: &mut Batch, files: Range<u32>) {
    for n in files {
        batch.write_file(&path(&format!("/base/{n}")), ROOT, &n.to_le_bytes()).unwrap();
    }
}

#[test]
fn they_come_into_use_without_being_read_however_the_batch_is_made() {
    for zeroed in [true, false] {
        for boundaries in [false, true] {
            let disk = Arc::new(made(zeroed));
            let mut batch = Batch::open(Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
            fill(&mut batch, 0..100);
            if boundaries {
                batch.boundary().unwrap();
            }
            // Some of the same records again, and more of them.
            batch.remove(&path("/base/50")).unwrap();
            fill(&mut batch, 100..200);
            assert!(batch.commit(Flush::PowerSafe).unwrap().atomic);
            assert_eq!(*disk.read.lock().unwrap(), [0; 0], "{zeroed} {boundaries}");
            let disk = Arc::clone(&disk) as Arc<dyn Disk>;
            let filesystem = Filesystem::open(Arc::clone(&disk)).unwrap();
            let found = check(&filesystem).unwrap();
            assert!(found.is_clean(), "{zeroed} {boundaries}: {:?}", found.problems);
            for n in (0..200).filter(|n| *n != 50) {
                let content = filesystem.read_file(&path(&format!("/base/{n}")), 4).unwrap();
                assert_eq!(content, u32::to_le_bytes(n));
            }
            let error = filesystem.read_file(&path("/base/50"), 4).unwrap_err();
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
        }
    }
}
