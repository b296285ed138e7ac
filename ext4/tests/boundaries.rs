//! Batches that are larger than the journal: split where the caller says so, or refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use banger_ext4::{
    Attributes, Batch, Disk, Error, Filesystem, Flush, FormatOptions, ImagePath, Inodes, Journal,
    MemoryDisk, Outcome, Result, Timestamp, check,
};

const ROOT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
const PARTS: u32 = 12;
/// Files that are there before and that each part changes.
const EACH: u32 = 600;

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

/// Remembers what it was after every flush.
struct Flushed {
    disk: MemoryDisk,
    states: Mutex<Vec<Vec<u8>>>,
}

impl Disk for Flushed {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.disk.write_at(offset, data)
    }
    fn flush(&self) -> Result<()> {
        let mut bytes = vec![0; usize::try_from(self.disk.len()).unwrap()];
        self.disk.read_at(0, &mut bytes)?;
        self.states.lock().unwrap().push(bytes);
        Ok(())
    }
    fn len(&self) -> u64 {
        self.disk.len()
    }
}

fn made() -> Vec<u8> {
    let disk = MemoryDisk::new(24 << 20);
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions {
        block_size: Some(1024),
        journal: Journal::Blocks(1024),
        inodes: Inodes::Count(16_000),
        ..FormatOptions::new([1; 16], [2; 16], now)
    };
    let disk: Arc<MemoryDisk> = Arc::new(disk);
    let mut batch = Batch::create(Arc::clone(&disk) as Arc<dyn Disk>, &options).unwrap();
    batch.make_directory(&path("/base"), ROOT).unwrap();
    for n in 0..PARTS * EACH {
        batch.write_file(&path(&format!("/base/{n}")), ROOT, b"").unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    Arc::into_inner(disk).unwrap().into_bytes()
}

/// Each part changes some files, removes what the last one made, and makes a folder with files.
fn change(batch: &mut Batch, boundaries: bool) {
    for part in 0..PARTS {
        if part > 0 {
            batch.remove_recursive(&path(&format!("/part{}", part - 1))).unwrap();
        }
        batch.make_directory(&path(&format!("/part{part}")), ROOT).unwrap();
        for n in part * EACH..(part + 1) * EACH {
            let attributes = Attributes { uid: 7, ..ROOT };
            batch.set_attributes(&path(&format!("/base/{n}")), attributes).unwrap();
        }
        for n in 0..300 {
            let name = format!("/part{part}/file-with-a-long-name-{n:0200}");
            batch.write_file(&path(&name), ROOT, &[part as u8 + 1; 1500]).unwrap();
        }
        batch.write_file(&path("/last"), ROOT, &part.to_le_bytes()).unwrap();
        if boundaries {
            batch.boundary().unwrap();
        }
    }
}

/// The last part that is there, everything of it right.
fn part_of(state: Vec<u8>) -> Option<u32> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(state));
    let fs = Filesystem::open(disk).unwrap();
    let found = check(&fs).unwrap();
    assert!(found.is_clean(), "{:?}", found.problems);
    let Ok(last) = fs.read_file(&path("/last"), 4) else {
        assert_eq!(found.inodes, u64::from(3 + PARTS * EACH));
        return None;
    };
    let part = u32::from_le_bytes(last.try_into().unwrap());
    let files = fs.read_dir(&path(&format!("/part{part}")), 1000).unwrap();
    assert_eq!(files.len(), 300);
    for file in files {
        let at = path(&format!("/part{part}")).join(&file.name).unwrap();
        assert!(fs.read_file(&at, 2000).unwrap() == [part as u8 + 1; 1500]);
    }
    assert_eq!(fs.read_dir(&path("/"), 1000).unwrap().len(), 4);
    let owner = |n| fs.lstat(&path(&format!("/base/{n}"))).unwrap().uid;
    assert!((0..PARTS * EACH).all(|n| (owner(n) == 7) == (n < (part + 1) * EACH)));
    Some(part)
}

#[test]
fn a_batch_is_split_only_where_the_caller_says_so() {
    let start = made();
    for direct in [false, true] {
        let open = if direct { Batch::open_direct } else { Batch::open };
        let flushed = |boundaries| {
            let disk = Arc::new(Flushed {
                disk: MemoryDisk::from(start.clone()),
                states: Mutex::default(),
            });
            let mut batch = open(Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
            change(&mut batch, boundaries);
            (batch.commit(Flush::PowerSafe), disk)
        };
        let (result, disk) = flushed(false);
        let refused = result.unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, Error::TooLarge { .. }) && said.contains("boundaries"), "{said}");
        assert_eq!(refused.outcome(), Outcome::NotApplied);
        assert!(disk.states.lock().unwrap().is_empty(), "nothing was flushed");
        if !direct {
            let disk = Arc::into_inner(disk).unwrap();
            assert!(disk.disk.into_bytes() == start, "nothing was written");
        }

        let (result, disk) = flushed(true);
        let committed = result.unwrap();
        assert!(!committed.atomic && committed.transactions > 1, "{committed:?}");
        assert!(committed.transactions < PARTS, "{committed:?}: not split where it need not be");
        let states = std::mem::take(&mut *disk.states.lock().unwrap());
        let parts: Vec<_> = states.into_iter().map(part_of).collect();
        assert!(parts.is_sorted() && parts.last() == Some(&Some(PARTS - 1)), "{parts:?}");
        let distinct: std::collections::BTreeSet<_> = parts.iter().flatten().collect();
        assert_eq!(distinct.len(), committed.transactions as usize, "{parts:?}");
    }
}

#[test]
fn a_batch_that_fits_is_one_transaction_whatever_its_boundaries() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(made()));
    let mut batch = Batch::open(Arc::clone(&disk)).unwrap();
    for name in ["/a", "/b", "/c"] {
        batch.make_directory(&path(name), ROOT).unwrap();
        batch.boundary().unwrap();
    }
    let committed = batch.commit(Flush::PowerSafe).unwrap();
    assert!(committed.atomic && committed.transactions == 1, "{committed:?}");
    let batch = Batch::open(disk).unwrap();
    let committed = batch.commit(Flush::PowerSafe).unwrap();
    assert!(committed.atomic && committed.transactions <= 1, "{committed:?}");
}
