//! The helper is killed at moments that nobody chose, and nothing of it stays.

use std::time::{Duration, Instant};

use banger_proto::roothelper::Change;
use banger_proto::{Refusal, VmId};
use banger_tests::testbed::inside_with_helper as inside;

use crate::asking::{User, left, members};
use crate::{number, sh};

/// Kills when `BANGER_HELPER_KILLS` says nothing.
const KILLS: u64 = 2;

/// Numbers that a seed brings again: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Attach, lend, detach.
fn all_of_it(ann: User, vm: VmId, base: &std::path::Path) -> Result<Change, Refusal> {
    let device = ann.attach(vm, base)?.device;
    ann.lend(device)?;
    ann.detach(vm)
}

#[test]
fn a_helper_that_is_killed_leaves_nothing_that_the_next_does_not_mend() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = ann.image("base", 8 << 20);
        let vm = VmId::random();
        // The first starts the helper, and polkit.
        all_of_it(ann, vm, &base).unwrap();
        let begun = Instant::now();
        all_of_it(ann, vm, &base).unwrap();
        let whole = begun.elapsed();
        let (seed, kills) = (number("BANGER_SEED", 1), number("BANGER_HELPER_KILLS", KILLS));
        let (mut numbers, mut cut, mut wrong) = (Numbers(seed), 0, Vec::new());
        for kill in 0..kills {
            let pid = sh("systemctl show banger-roothelper.service --property=MainPID --value");
            let after = Duration::from_micros(numbers.below(1 + whole.as_micros() as u64));
            let ended = std::thread::scope(|scope| {
                let asking = scope.spawn(|| all_of_it(ann, vm, &base));
                std::thread::sleep(after);
                let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
                // It may have ended by itself: then nothing was cut.
                let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                asking.join().unwrap()
            });
            cut += u64::from(ended.is_err());
            let mended = ann.detach(vm).and_then(|_| all_of_it(ann, vm, &base));
            let left = left();
            if mended != Ok(Change::Removed) || !left.is_empty() {
                wrong.push(format!("kill {kill} after {after:?}: {mended:?}; left: {left}"));
                break;
            }
        }
        println!(
            "RESULT kill -9 of the root helper while it attaches, lends and detaches, seed {seed}: \
             {kills} kills, {cut} in the middle, {} violations",
            wrong.len()
        );
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}
