//! Filesystems that are wrong in one place: each is a refusal, or harmless, its worker ends by itself, and the next one
//! serves on.

use std::fs;

use banger_proto::roothelper::{WriteBlame, WriteOutcome};
use banger_roothelper::worker::{Blame, NotRead};
use banger_tests::wrong::{Wrong, structures, superblocks};

use super::place::{Place, device, file, path, run, small_filesystem};

/// What became of them.
#[derive(Debug, Default)]
struct Count {
    read: usize,
    refused: usize,
    applied: usize,
    not_applied: usize,
}

fn each(place: &Place, all: Vec<Wrong>) -> Count {
    let (workers, image) = (place.workers("good"), place.folder().join("wrong"));
    let mut count = Count::default();
    for Wrong { name, at, refused, bytes } in all {
        fs::write(&image, &bytes).unwrap();
        match run(workers.read(device(&image, ()), vec![path(at)], 1 << 20)) {
            Ok(_) => {
                assert!(!refused, "{name}: it was read");
                count.read += 1;
            }
            Err(NotRead::Refused(refusal)) => {
                assert_ne!(refusal.blame, Blame::Request, "{name}: {refusal:?}");
                assert!(!refusal.chain.is_empty(), "{name}");
                count.refused += 1;
            }
            Err(other) => panic!("{name}: {other}"),
        }
        assert!(fs::read(&image).unwrap() == bytes, "{name}: reading changed it");
        // What is spoilt is to be changed, too.
        let below = if at == "/dir" { "/dir/new" } else { at };
        match run(workers.write(device(&image, ()), vec![file(below, "new")])) {
            WriteOutcome::Applied { .. } => count.applied += 1,
            WriteOutcome::NotApplied { blame, chain } => {
                let blamed = matches!(
                    blame,
                    WriteBlame::Damage | WriteBlame::Incompatible | WriteBlame::Space
                );
                assert!(blamed, "{name}: {blame:?} {chain:?}");
                assert!(fs::read(&image).unwrap() == bytes, "{name}: it was changed, {chain:?}");
                count.not_applied += 1;
            }
            unknown @ WriteOutcome::Unknown { .. } => panic!("{name}: {unknown:?}"),
        }
    }
    assert_eq!(place.content("/etc/hostname").unwrap(), b"old\n", "others are served on");
    count
}

#[test]
fn trees_directories_and_inodes_that_are_wrong_are_refused() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let count = each(&place, structures(place.folder()));
    assert_eq!(count.read, 3, "{count:?}");
    println!("RESULT structures that are wrong, in workers: {count:?}");
}

#[test]
fn a_superblock_with_a_number_at_its_end_is_refused_or_harmless() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let count = each(&place, superblocks(place.folder(), |_| true));
    assert!(count.refused > 50 && count.read > 20, "{count:?}");
    println!("RESULT superblocks with numbers at their ends, in workers: {count:?}");
}
