//! What is changed, and what becomes of what cannot be.

use std::fs::{self, File};
use std::time::Duration;

use banger_ext4::{Attributes, ImagePath};
use banger_proto::roothelper::{Ext4Found, Ext4Operation, Ext4Write, WriteBlame, WriteOutcome};
use banger_tests::{fsck, image::assert_right, profile::Profile};

use super::place::{Loop, Place, ROOT, change, device, file, link, owner, run};
use super::place::{filesystem, small_filesystem};
use crate::dirty::killed;

fn applied(writes: u32) -> WriteOutcome {
    WriteOutcome::Applied { writes, atomic: true }
}

/// A change of each kind, and of each kind of path.
fn every_change() -> Vec<Ext4Write> {
    let folder = owner(0o750, 5, 6);
    vec![
        file("/etc/hostname", "new\n"),
        file("/deep/down/below/file", vec![7; 100_000]),
        link("/etc/link", "../deep"),
        file("/etc/link/through", "t"),
        change("/folder", Ext4Operation::Directory(folder)),
        change("/linked", Ext4Operation::Directory(folder)),
        change("/there", Ext4Operation::MissingDirectory(folder)),
        change("/missing/too", Ext4Operation::MissingDirectory(folder)),
        change("/attributes", Ext4Operation::Ownership(owner(0o6711, 70_000, 70_001))),
        change("/gone", Ext4Operation::Removed),
        change("/never/was", Ext4Operation::Removed),
        // In their order: what is not empty could not be removed.
        change("/replaced", Ext4Operation::Removed),
        change("/replaced", Ext4Operation::Directory(folder)),
        file("/replaced/below", "b"),
    ]
}

fn with_something_to_change() -> Vec<u8> {
    small_filesystem(|batch| {
        let at = |text: &str| ImagePath::new(text).unwrap();
        for name in ["/attributes", "/gone", "/there"] {
            batch.write_file(&at(name), ROOT, b"content").unwrap();
        }
        batch.make_directory(&at("/led-to"), Attributes { mode: 0o700, uid: 0, gid: 0 }).unwrap();
        batch.symlink(&at("/linked"), b"led-to", 0, 0).unwrap();
        batch.symlink(&at("/replaced"), b"nowhere", 0, 0).unwrap();
    })
}

fn assert_changed(place: &Place) {
    assert_eq!(place.content("/etc/hostname").unwrap(), b"new\n");
    assert_eq!(place.content("/deep/down/below/file").unwrap(), vec![7; 100_000]);
    assert_eq!(place.content("/deep/through").unwrap(), b"t");
    assert_eq!(place.content("/there").unwrap(), b"content");
    assert_eq!(place.content("/gone"), None);
    assert_eq!(place.content("/replaced/below").unwrap(), b"b");
    let directory = |at: &str| match place.found(at) {
        Ext4Found::Directory { owner, .. } => owner,
        other => panic!("{at}: {other:?}"),
    };
    assert_eq!(directory("/deep/down"), owner(0o755, 0, 0));
    for at in ["/folder", "/led-to", "/missing/too"] {
        assert_eq!(directory(at), owner(0o750, 5, 6), "{at}");
    }
    let Ext4Found::File { owner: set, .. } = place.found("/attributes") else { panic!() };
    assert_eq!(set, owner(0o6711, 70_000, 70_001));
}

#[test]
fn every_change_is_applied_as_one_and_read_back() {
    as_root!();
    let place = Place::new(&with_something_to_change());
    let writes = every_change();
    let count = writes.len() as u32;
    assert_eq!(run(place.workers("good").write(place.device(), writes)), applied(count));
    assert_changed(&place);
    assert_right(&place.image());
}

#[test]
fn a_loop_device_is_changed_and_looked_at_past_the_cache() {
    as_root!();
    let place = Place::new(&with_something_to_change());
    let writes = every_change();
    let count = writes.len() as u32;
    {
        let attached = Loop::of(&place.image());
        let device = device(attached.path(), ());
        assert_eq!(run(place.workers("good").write(device, writes)), applied(count));
    }
    assert_changed(&place);
    assert_right(&place.image());
}

#[test]
fn a_killed_machines_journal_is_replayed_first() {
    as_root!();
    crate::needs_kernel!();
    let place = Place::new(&small_filesystem(|_| {}));
    for arguments in [&[][..], &["-O", "orphan_file"]] {
        let image = killed(place.folder(), arguments);
        let writes = vec![file("/etc/hostname", "patched\n"), file("/etc/conf7", "back\n")];
        let outcome = run(place.workers("good").write(device(&image, ()), writes));
        assert_eq!(outcome, applied(2));
        let lines = assert_right(&image);
        assert!(lines.iter().any(|line| line.starts_with("/etc/hostname file 0644 0:0 size=8")));
        assert!(lines.iter().any(|line| line.starts_with("/dirty/f200 file")));
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    as_root!();
    let small = with_something_to_change();
    let place = Place::new(&small);
    let before = fs::read(place.image()).unwrap();
    let workers = place.workers("good");
    for (why, expected, last) in [
        ("a directory's place", WriteBlame::Request, file("/etc", "x")),
        ("below a file", WriteBlame::Request, file("/etc/hostname/x", "x")),
        ("the root", WriteBlame::Request, change("/", Ext4Operation::Removed)),
        ("not empty", WriteBlame::Request, change("/etc", Ext4Operation::Removed)),
        ("nothing", WriteBlame::Request, change("/no", Ext4Operation::Ownership(owner(0, 0, 0)))),
        ("no room", WriteBlame::Space, file("/large", vec![1; 7 << 20])),
    ] {
        let writes = vec![file("/etc/first", "x"), last];
        match run(workers.write(place.device(), writes)) {
            WriteOutcome::NotApplied { blame, chain } => {
                assert_eq!(blame, expected, "{why}: {chain:?}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    assert!(before == fs::read(place.image()).unwrap());
    let image = place.folder().join("feature");
    Profile::named("bigalloc").make(&image, 64 << 20);
    let outcome = run(workers.write(device(&image, ()), vec![file("/x", "x")]));
    let incompatible = WriteBlame::Incompatible;
    assert!(matches!(outcome, WriteOutcome::NotApplied { blame, .. } if blame == incompatible));
    File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let outcome = run(workers.write(device(&image, ()), vec![file("/x", "x")]));
    let damage = WriteBlame::Damage;
    assert!(matches!(outcome, WriteOutcome::NotApplied { blame, .. } if blame == damage));
}

#[test]
fn a_filesystem_without_a_journal_is_changed_and_the_outcome_says_so() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let image = place.folder().join("plain");
    Profile::named("no-journal").make(&image, 16 << 20);
    let outcome = run(place.workers("good").write(device(&image, ()), vec![file("/x", "x")]));
    assert_eq!(outcome, WriteOutcome::Applied { writes: 1, atomic: false });
    fsck::assert_clean(&image);
    // Cut short, nobody knows what else it left.
    for step in [0, 3] {
        let workers = place.workers(&format!("die-at-{step}"));
        let outcome = run(workers.write(device(&image, ()), vec![file("/y", "y")]));
        assert!(matches!(outcome, WriteOutcome::Unknown { .. }), "{step}: {outcome:?}");
        Profile::named("no-journal").make(&image, 16 << 20);
    }
}

#[test]
fn many_entries_are_one_transaction_or_none() {
    as_root!();
    let place = Place::new(&filesystem(256 << 20, |_| {}));
    // As many as a request may have, by far more than a batch of banger's ever has; each file
    // many times, and the last time counts.
    let again: Vec<_> = (0..banger_roothelper::worker::MOST_ENTRIES)
        .map(|n| file(&format!("/e{}/f{}", n % 16, n % 4096), n.to_string()))
        .collect();
    let applied_once = run(place.workers("good").write(place.device(), again));
    assert_eq!(applied_once, applied(65_536));
    assert_eq!(place.content("/e15/f4095").unwrap(), b"65535");
    assert_eq!(place.content("/e0/f0").unwrap(), b"61440");
    // As many files: more than there are inodes.
    let many: Vec<_> = (0..banger_roothelper::worker::MOST_ENTRIES)
        .map(|n| file(&format!("/d{}/f{n}", n % 256), n.to_string()))
        .collect();
    let before = place.content("/etc/hostname");
    match run(place.workers("good").write(place.device(), many)) {
        WriteOutcome::NotApplied { blame, chain } => {
            assert_eq!(blame, WriteBlame::Space, "{chain:?}");
            assert_eq!(place.content("/d7/f7"), None);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(place.content("/etc/hostname"), before);
    // One more is not even asked for.
    let many: Vec<_> = (0..=banger_roothelper::worker::MOST_ENTRIES)
        .map(|_| change("/x", Ext4Operation::Removed))
        .collect();
    let outcome = run(place.workers("good").write(place.device(), many));
    assert!(
        matches!(outcome, WriteOutcome::NotApplied { blame: WriteBlame::Request, .. }),
        "{outcome:?}"
    );
    fsck::assert_clean(&place.image());
}

#[test]
fn a_device_that_lies_or_fails_is_found_out() {
    as_root!();
    let bytes = with_something_to_change();
    let place = Place::new(&bytes);
    let outcome = |scenario: &str| {
        place.put(&bytes);
        run(place.workers(scenario).write(place.device(), vec![file("/etc/hostname", "new\n")]))
    };
    // It says that all is written, and nothing is.
    let lost = outcome("lose-at-0");
    let host = WriteBlame::Host;
    assert!(matches!(lost, WriteOutcome::NotApplied { blame, .. } if blame == host), "{lost:?}");
    assert_eq!(place.content("/etc/hostname").unwrap(), b"old\n");
    let failed = outcome("fail-at-0");
    assert!(
        matches!(failed, WriteOutcome::NotApplied { blame, .. } if blame == host),
        "{failed:?}"
    );
    let spoilt = outcome("spoil-at-0");
    assert!(matches!(spoilt, WriteOutcome::Unknown { .. }), "{spoilt:?}");
}

#[test]
fn the_deadline_ends_a_batch_and_the_device_says_how() {
    as_root!();
    let bytes = with_something_to_change();
    let mut place = Place::new(&bytes);
    place.deadlines.write = Duration::from_millis(300);
    let step = |n: u32| format!("stop-at-{n}");
    for n in [0, 2, 4] {
        place.put(&bytes);
        let writes = vec![file("/etc/hostname", "new\n")];
        let outcome = run(place.workers(&step(n)).write(place.device(), writes));
        let found = place.content("/etc/hostname").unwrap();
        match outcome {
            WriteOutcome::Applied { .. } => assert_eq!(found, b"new\n", "{n}"),
            WriteOutcome::NotApplied { chain, .. } => {
                assert_eq!(found, b"old\n", "{n}");
                assert!(chain.iter().any(|cause| cause.contains("deadline")), "{chain:?}");
            }
            other @ WriteOutcome::Unknown { .. } => panic!("{n}: {other:?}"),
        }
    }
}
