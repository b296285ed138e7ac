//! A crash at any point of a commit leaves all of the batch or none of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_ext4::{Batch, Flush};
use banger_tests::crash::{Judge, Shares, Tally};
use banger_tests::profile::{Profile, Writing};
use banger_tests::random_batch::{Donor, furnish};
use banger_tests::recorder::Random;
use banger_tests::scenes::{Base, Past, scene, split};
use banger_tests::{fsck, root, skip};

use crate::needs_kernel;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn donor(folder: &std::path::Path) -> Donor {
    let image = folder.join("donor.img");
    fsck::mke2fs(&image, 8 << 20, &["-b", "1024"]);
    let mut batch = Batch::open(banger_tests::image::disk(&image)).unwrap();
    furnish(&mut batch);
    batch.commit(Flush::ProcessSafe).unwrap();
    Donor::new(std::fs::read(image).unwrap())
}

/// Every kind of filesystem with every past it can have, shuffled.
fn bases(random: &mut Random) -> Vec<(&'static Profile, Past)> {
    let atomic = Profile::written().filter(|profile| profile.writing == Writing::Atomic);
    let mut bases: Vec<_> = atomic
        .flat_map(|profile| {
            // What a fast commit holds is for the kernel alone.
            let killed = if profile.name == "fast_commit" { 2 } else { 4 };
            let pasts = [Past::New, Past::Mounted, Past::Killed, Past::Wrapped];
            pasts.into_iter().take(killed).map(move |past| (profile, past))
        })
        .collect();
    for n in (1..bases.len()).rev() {
        bases.swap(n, random.below(n as u64 + 1) as usize);
    }
    bases
}

/// Settings: `BANGER_CRASH_POINTS` states in all, `BANGER_CRASH_SCENE` of each batch,
/// `BANGER_CRASH_WORKERS` at once, `BANGER_SEED`.
#[test]
fn a_crash_leaves_all_of_a_batch_or_none() {
    needs_kernel!();
    if !root::has("python3") {
        return skip("python3 is not installed");
    }
    let (points, seed) = (setting("BANGER_CRASH_POINTS", 1000), setting("BANGER_SEED", 1));
    let soak = points > 10_000;
    let per_scene = setting("BANGER_CRASH_SCENE", if soak { 200 } else { 60 });
    let shares = if soak {
        Shares { recovery: 8, e2fsck: 80, kernel: 400 }
    } else {
        Shares { recovery: 8, e2fsck: 60, kernel: 200 }
    };
    let bases = bases(&mut Random::new(seed));
    let (sum, next, done) = (Mutex::new(Tally::default()), AtomicU64::new(0), AtomicU64::new(0));
    let (kinds, wrapped) = (Mutex::new(std::collections::BTreeSet::new()), AtomicU64::new(0));
    let work = || {
        let folder = tempfile::tempdir().unwrap();
        let donor = donor(folder.path());
        while done.load(Ordering::Relaxed) < points {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (profile, past) = bases[turn as usize % bases.len()];
            let mut random = Random::new(seed * 1_000_003 + turn);
            let base = Base::make(folder.path(), profile, past);
            kinds.lock().unwrap().insert(base.name.clone());
            wrapped.fetch_add(u64::from(base.log_is_wrapped()), Ordering::Relaxed);
            let mut judge = Judge::new(folder.path(), seed ^ turn, shares);
            for _ in 0..if soak { 5 } else { 2 } {
                judge.play(&scene(&base, &donor, &mut random), per_scene);
            }
            if past == Past::New {
                judge.without_others(|judge| {
                    judge.play(&split(&base, &donor, &mut random), per_scene);
                });
            }
            let tally = judge.tally;
            done.fetch_add(tally.points, Ordering::Relaxed);
            for violation in &tally.violations {
                println!("violation (turn {turn}): {violation}");
            }
            sum.lock().unwrap().add(tally);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..setting("BANGER_CRASH_WORKERS", 1) {
            scope.spawn(work);
        }
    });
    let tally = sum.into_inner().unwrap();
    let what = format!(
        "crashes, seed {seed}, {} kinds of filesystem, {} logs that go round",
        kinds.into_inner().unwrap().len(),
        wrapped.into_inner()
    );
    println!("RESULT {}", tally.line(&what));
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
    assert!(tally.found[0] > 50 && tally.found[1] > 50, "both sides of the commit point");
    assert!(tally.recovered > 10 && tally.in_recovery > 50 && tally.e2fsck > 0);
}
