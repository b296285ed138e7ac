//! Filesystems that mean harm: whatever becomes of a worker, it is told, and the next one
//! works.
//!
//! `BANGER_WORKER_HOSTILE` says how many, `BANGER_SEED` where they begin.

use std::fs;
use std::time::Duration;

use banger_proto::roothelper::WriteOutcome;
use banger_roothelper::worker::{Blame, Death, NotRead};
use banger_tests::profile::Profile;
use banger_tests::recorder::Random;

use super::place::{Place, device, file, path, run, small_filesystem};

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// Numbers that are seldom right.
const EXTREMES: [u32; 8] = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 1, 64, 0xf30a];

/// Changes some words where the filesystem keeps itself.
fn damage(bytes: &mut [u8], random: &mut Random) {
    for _ in 0..=random.below(12) {
        // The superblock every third time, and else what is in use.
        let place = loop {
            let at = if random.below(3) == 0 {
                1024 + random.below(1020) as usize
            } else {
                random.below(bytes.len() as u64 - 4) as usize
            };
            if bytes[at..at + 4].iter().any(|byte| *byte != 0) {
                break at;
            }
        };
        let word = match random.below(3) {
            0 => EXTREMES[random.below(8) as usize],
            1 => random.below(1 << 32) as u32,
            _ => {
                u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap())
                    ^ 1 << random.below(32)
            }
        };
        bytes[place..place + 4].copy_from_slice(&word.to_le_bytes());
    }
}

#[test]
fn hostile_filesystems_harm_nobody_but_their_worker() {
    as_root!();
    let (images, seed) = (setting("BANGER_WORKER_HOSTILE", 60), setting("BANGER_SEED", 1));
    let mut random = Random::new(seed);
    let mut place = Place::new(&small_filesystem(|_| {}));
    place.deadlines.read = Duration::from_secs(20);
    place.deadlines.write = Duration::from_secs(20);
    let (good, hostile) = (place.workers("good"), place.folder().join("hostile"));
    let mut scenes = Vec::new();
    // Without checksums, damage gets everywhere.
    for name in ["no-checksums", "ext3-small", "debian-12-small"] {
        Profile::named(name).make(&hostile, 8 << 20);
        let many = (0..200).map(|n| file(&format!("/etc/f{n}"), "x".repeat(n * 9))).collect();
        let filled = run(good.write(device(&hostile, ()), many));
        assert_eq!(filled, WriteOutcome::Applied { writes: 200, atomic: true });
        scenes.push(fs::read(&hostile).unwrap());
    }
    let (mut read, mut refused, mut died) = (0, 0, 0);
    let (mut applied, mut not_applied, mut unknown) = (0, 0, 0);
    for n in 0..images {
        let mut bytes = scenes[n as usize % scenes.len()].clone();
        damage(&mut bytes, &mut random);
        fs::write(&hostile, &bytes).unwrap();
        let what = format!("image {n} of BANGER_SEED={seed}");
        let paths = vec![path("/"), path("/etc"), path("/etc/f7"), path("/etc/f150")];
        match run(good.read(device(&hostile, ()), paths, 1 << 20)) {
            Ok(_) => read += 1,
            Err(NotRead::Refused(refusal)) => {
                assert_ne!(refusal.blame, Blame::Request, "{what}: {refusal:?}");
                refused += 1;
            }
            Err(NotRead::Died(death)) => {
                assert!(!matches!(death, Death::Panicked(_)), "{what}: {death}");
                died += 1;
            }
            Err(other) => panic!("{what}: {other}"),
        }
        let writes = vec![file("/etc/f7", "new"), file("/etc/made/below", "made")];
        match run(good.write(device(&hostile, ()), writes)) {
            WriteOutcome::Applied { .. } => applied += 1,
            WriteOutcome::NotApplied { chain, .. } => {
                assert!(!chain.iter().any(|cause| cause.contains("gave up")), "{what}: {chain:?}");
                not_applied += 1;
            }
            WriteOutcome::Unknown { .. } => unknown += 1,
        }
    }
    assert_eq!(place.content("/etc/hostname").unwrap(), b"old\n", "others are served on");
    assert!(applied > 0 && not_applied > 0, "{applied} applied, {not_applied} not");
    println!(
        "RESULT hostile filesystems in workers: {images}, {read} read, {refused} refused, {died} \
         of which a reader died; {applied} batches applied, {not_applied} not, {unknown} unknown"
    );
}
