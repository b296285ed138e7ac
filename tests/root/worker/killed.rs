//! Workers that are ended at any step of a batch: what is on the device is old or new, and
//! the verdict says which.
//!
//! `BANGER_WORKER_KILLS` says how many, `BANGER_SEED` where they begin.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use banger_ext4::{Attributes, Batch, Disk, Filesystem, Flush, MemoryDisk};
use banger_proto::roothelper::{Ext4Found, Ext4Operation, Ext4Write, WriteOutcome};
use banger_tests::image::{disk, path as image_path};
use banger_tests::profile::Profile;
use banger_tests::recorder::{Random, Recorder};
use banger_tests::{engine, fsck};
use tokio::sync::oneshot;

use super::place::{Place, ROOT, change, file, owner, path, run, small_filesystem};

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// What is there before, by the library alone.
fn prepare(disk: &Arc<dyn Disk>) {
    let mut batch = Batch::open(Arc::clone(disk)).unwrap();
    let folder = Attributes { mode: 0o755, uid: 0, gid: 0 };
    batch.make_directories(&image_path("/etc/ssh"), folder).unwrap();
    for n in 0..8 {
        let at = image_path(format!("/etc/f{n}"));
        batch.write_file(&at, ROOT, format!("old {n}\n").repeat(300).as_bytes()).unwrap();
    }
    batch.write_file(&image_path("/etc/gone"), ROOT, b"x").unwrap();
    batch.commit(Flush::ProcessSafe).unwrap();
}

fn batch() -> Vec<Ext4Write> {
    let mut writes: Vec<_> =
        (0..8).map(|n| file(&format!("/etc/f{n}"), format!("new {n}\n").repeat(700))).collect();
    writes.push(change("/etc/gone", Ext4Operation::Removed));
    writes.push(change("/etc/ssh", Ext4Operation::Directory(owner(0o700, 1, 2))));
    writes.push(file("/etc/made/below", "made"));
    writes
}

/// Writes and flushes that the batch takes, counted without a worker.
fn steps(bytes: &[u8]) -> u64 {
    let recorder = Arc::new(Recorder::new(bytes.to_vec()));
    let mut batch = Batch::open(recorder.clone()).unwrap();
    let folder = Attributes { mode: 0o755, uid: 0, gid: 0 };
    for n in 0..8 {
        let content = format!("new {n}\n").repeat(700);
        batch.write_file(&image_path(format!("/etc/f{n}")), ROOT, content.as_bytes()).unwrap();
    }
    batch.remove(&image_path("/etc/gone")).unwrap();
    batch.make_directories(&image_path("/etc/made"), folder).unwrap();
    batch.write_file(&image_path("/etc/made/below"), ROOT, b"made").unwrap();
    batch.commit(Flush::PowerSafe).unwrap();
    let epochs = recorder.epochs();
    epochs.iter().map(|epoch| epoch.len() as u64 + 1).sum()
}

/// Whether an image is new; neither new nor old is the end.
fn is_new(image: &std::path::Path) -> bool {
    let fs = engine::open(image);
    let found = banger_ext4::check(&fs).unwrap();
    assert!(found.is_clean(), "our check: {:#?}", found.problems);
    let content = |at: &str| fs.read_file(&image_path(at), 1 << 20).ok();
    let mut new: Vec<bool> = (0..8)
        .map(|n| {
            let found = content(&format!("/etc/f{n}")).unwrap();
            let is = |word: &str, times| found == format!("{word} {n}\n").repeat(times).as_bytes();
            assert!(is("old", 300) || is("new", 700), "f{n} is neither");
            is("new", 700)
        })
        .collect();
    new.push(content("/etc/gone").is_none());
    new.push(content("/etc/made/below").is_some());
    let ssh = fs.stat(&image_path("/etc/ssh")).unwrap();
    new.push((ssh.mode, ssh.uid, ssh.gid) == (0o700, 1, 2));
    assert!(new.iter().all(|is| *is == new[0]), "part of it is new: {new:?}");
    new[0]
}

#[test]
fn a_batch_cut_at_any_step_is_old_or_new_and_the_verdict_is_right() {
    as_root!();
    let (kills, seed) = (setting("BANGER_WORKER_KILLS", 40), setting("BANGER_SEED", 1));
    let mut random = Random::new(seed);
    let mut place = Place::new(&small_filesystem(|_| {}));
    let mut scenes = vec![("ours", fs::read(place.image()).unwrap())];
    for name in ["debian-12-small", "debian-13", "ext3-small"] {
        Profile::named(name).make(&place.image(), 16 << 20);
        scenes.push((name, fs::read(place.image()).unwrap()));
    }
    for (_, bytes) in &mut scenes {
        let memory = Arc::new(MemoryDisk::from(std::mem::take(bytes)));
        prepare(&(memory.clone() as Arc<dyn Disk>));
        *bytes = Arc::into_inner(memory).unwrap().into_bytes();
    }
    let counts: Vec<u64> = scenes.iter().map(|(_, bytes)| steps(bytes)).collect();
    let usual = place.deadlines;
    let (mut old, mut new, mut judged) = (0, 0, 0);
    for n in 0..kills {
        let scene = n as usize % scenes.len();
        let (name, bytes) = &scenes[scene];
        let step = random.below(counts[scene] + 1);
        // One in ten is ended by a signal from outside, at its deadline.
        let how = ["die", "tear", "stop"][if n % 10 == 9 { 2 } else { (n % 2) as usize }];
        place.deadlines.write =
            if how == "stop" { Duration::from_millis(400) } else { usual.write };
        place.put(bytes);
        let scenario = format!("{how}-at-{step}");
        let outcome = run(place.workers(&scenario).write(place.device(), batch()));
        let what = format!("{name}, {scenario}, BANGER_SEED={seed}: {outcome:?}");
        let is = is_new(&place.image());
        match outcome {
            WriteOutcome::Applied { .. } => assert!(is, "{what}"),
            WriteOutcome::NotApplied { .. } => assert!(!is, "{what}"),
            WriteOutcome::Unknown { .. } => panic!("{what}"),
        }
        if is {
            new += 1
        } else {
            old += 1
        }
        fs::remove_file(place.program(&scenario)).unwrap();
        // Recovered by the next batch, or by e2fsck.
        if random.below(8) == 0 {
            Batch::open(disk(&place.image())).unwrap().commit(Flush::PowerSafe).unwrap();
            fsck::assert_clean(&place.image());
            assert_eq!(is_new(&place.image()), is, "{what}");
            judged += 1;
        }
    }
    println!(
        "RESULT ext4 workers ended in the middle of a batch: {kills}, {new} batches on the device \
         and {old} not, {judged} by e2fsck: every verdict right"
    );
}

/// Tells its end.
struct Held(#[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<()>);

#[test]
fn a_call_that_nobody_waits_for_keeps_its_device_to_its_end() {
    as_root!();
    let mut place = Place::new(&small_filesystem(|_| {}));
    place.deadlines.read = Duration::from_millis(500);
    place.deadlines.write = Duration::from_millis(500);
    run(async {
        for writes in [false, true] {
            let (sender, mut given_back) = oneshot::channel();
            let device = super::place::device(&place.image(), Held(sender));
            let workers = place.workers("wait");
            {
                // Whoever asked goes away.
                let patience = Duration::from_millis(50);
                if writes {
                    let asked = workers.write(device, vec![file("/x", "x")]);
                    assert!(tokio::time::timeout(patience, asked).await.is_err());
                } else {
                    let asked = workers.read(device, vec![path("/etc")], 100);
                    assert!(tokio::time::timeout(patience, asked).await.is_err());
                }
            }
            let still = oneshot::error::TryRecvError::Empty;
            assert_eq!(given_back.try_recv(), Err(still), "a worker is on it");
            let gone = tokio::time::timeout(Duration::from_secs(20), given_back).await;
            assert!(gone.expect("it is given back").is_err());
        }
    });
    assert!(matches!(place.found("/x"), Ext4Found::Nothing));
}

#[test]
fn very_large_filesystems_fit_into_a_workers_memory() {
    as_root!();
    let place = Place::new(&small_filesystem(|_| {}));
    let image = place.folder().join("huge");
    // Sparse: what its 15 TiB hold is not there.
    fs::File::create(&image).unwrap().set_len(15 << 40).unwrap();
    let now = banger_ext4::Timestamp::now();
    let options = banger_ext4::FormatOptions::new([1; 16], [2; 16], now);
    Batch::create(disk(&image), &options).unwrap().commit(Flush::ProcessSafe).unwrap();
    let device = || super::place::device(&image, ());
    let workers = place.workers("good");
    let outcome = run(workers.write(device(), vec![file("/etc/made", "made")]));
    assert_eq!(outcome, WriteOutcome::Applied { writes: 1, atomic: true });
    let found = run(workers.read(device(), vec![path("/etc/made")], 100)).unwrap();
    assert!(matches!(&found[0], Ext4Found::File { content, .. } if content == b"made"));
    drop(Filesystem::open(disk(&image)).unwrap());
}
