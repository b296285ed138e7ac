//! Journals in states that the kernel seldom leaves: stopped by an error, or somewhere else.

use std::sync::Arc;

use banger_ext4::layout::features::Incompat;
use banger_ext4::layout::superblock::{STATE_ERROR, Superblock};
use banger_ext4::{Disk, Error, Filesystem, FormatOptions, MemoryDisk, Timestamp, format, journal};

/// A new filesystem that says that it needs its journal replayed.
fn dirty(change: impl FnOnce(&mut Superblock)) -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(16 << 20));
    format(&*disk, &FormatOptions::new([1; 16], [2; 16], Timestamp::default())).unwrap();
    let mut sb = superblock(&disk);
    let mut features = sb.features();
    features.incompat = features.incompat.with(Incompat::RECOVER);
    sb.set_features(features);
    change(&mut sb);
    disk.write_at(1024, &sb.encode()).unwrap();
    disk
}

fn superblock(disk: &Arc<dyn Disk>) -> Superblock {
    let mut bytes = [0; 1024];
    disk.read_at(1024, &mut bytes).unwrap();
    Superblock::parse(&bytes).unwrap()
}

#[test]
fn an_error_that_stopped_the_journal_is_passed_on() {
    let disk = dirty(|_| ());
    let fs = Filesystem::open_as_is(Arc::clone(&disk)).unwrap();
    let mut location = journal::JournalLocation::find(&fs).unwrap().unwrap();
    location.superblock.set_s_errno(-5_i32 as u32);
    location.write_superblock(&disk).unwrap();
    let done = journal::replay(&disk).unwrap();
    assert!(done.needed && done.aborted, "{done:?}");
    let sb = superblock(&disk);
    assert!(!sb.features().incompat.has(Incompat::RECOVER));
    assert_eq!(sb.s_state() & STATE_ERROR, STATE_ERROR);
    let fs = Filesystem::open(Arc::clone(&disk)).unwrap();
    let location = journal::JournalLocation::find(&fs).unwrap().unwrap();
    assert_eq!((location.superblock.s_errno(), location.superblock.s_start()), (0, 0));
    let refusal = banger_ext4::Batch::open(disk).unwrap_err();
    assert!(matches!(refusal, Error::Incompatible { .. }), "{refusal}");
}

#[test]
fn a_journal_on_another_device_is_refused_by_name() {
    let disk = dirty(|sb| {
        sb.set_s_journal_inum(0);
        sb.set_s_journal_dev(0x0801);
    });
    for refusal in [
        journal::replay(&disk).unwrap_err(),
        Filesystem::open(Arc::clone(&disk)).unwrap_err(),
        banger_ext4::Batch::open(Arc::clone(&disk)).unwrap_err(),
    ] {
        assert!(refusal.to_string().contains("external journal"), "{refusal}");
    }
}

#[test]
fn an_empty_journal_is_marked_clean_and_nothing_else() {
    let disk = dirty(|_| ());
    let done = journal::replay(&disk).unwrap();
    assert_eq!((done.needed, done.transactions, done.blocks), (true, 0, 0));
    let fs = Filesystem::open(disk).unwrap();
    assert!(!fs.superblock().features().incompat.has(Incompat::RECOVER));
    assert!(banger_ext4::check(&fs).unwrap().is_clean());
}
