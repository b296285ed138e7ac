//! A helper that is killed at any moment leaves taps that are whole, or none.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use banger_roothelper::kernel::{Linux, Network};

use super::frame::good_ping;
use super::place::{ANN, Card, bridge, guest, name, rules, sh};

/// Set where this test is the one who is to be killed.
const VICTIM: &str = "BANGER_VICTIM";
/// How often it is killed; `BANGER_NETWORK_KILLS` times in a long proof.
const TIMES: u64 = 12;

/// Attaches and detaches, for ever.
fn be_killed() -> ! {
    let linux = Linux::default();
    loop {
        let all: Vec<_> = (20..24).map(|last| guest(ANN, last)).collect();
        let stays: Vec<_> = linux.wiring().unwrap().taps.iter().map(|tap| tap.guest).collect();
        linux.set_rules(&rules(false, &[&stays[..], &all].concat())).unwrap();
        for guest in &all {
            linux.make_tap(*guest).unwrap();
        }
        for tap in linux.wiring().unwrap().taps {
            if all.contains(&tap.guest) {
                linux.remove_tap(tap).unwrap();
            }
        }
        linux.set_rules(&rules(false, &stays)).unwrap();
    }
}

#[test]
fn a_helper_that_is_killed_at_any_moment_leaves_whole_taps_or_none() {
    alone!();
    if std::env::var_os(VICTIM).is_some() {
        be_killed();
    }
    let times = std::env::var("BANGER_NETWORK_KILLS").ok().and_then(|times| times.parse().ok());
    let times = times.unwrap_or(TIMES);
    let stays = guest(ANN, 10);
    let linux = bridge(false, &[stays]);
    let own = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap().to_owned();
    let mut found = 0;
    for time in 0..times {
        let mut victim = Command::new(&own)
            .args(["--exact", &test, "--nocapture"])
            .env(VICTIM, "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It is up by then, or is not: both are moments.
        std::thread::sleep(Duration::from_millis(40 + time * 37 % 101));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let known = linux.wiring().unwrap().taps;
        let names: BTreeSet<_> = known.iter().map(|tap| name(tap.guest)).collect();
        let there = sh("ip -oneline link | cut -d ' ' -f 2 | tr -d : | grep bgr");
        assert_eq!(there.lines().map(str::to_owned).collect::<BTreeSet<_>>(), names);
        for tap in known.into_iter().filter(|tap| tap.guest != stays) {
            found += 1;
            let mut card = Card::of(tap.guest);
            card.send(&good_ping(tap.guest, 1));
            card.expect("an answer", |frame| frame.answers(1));
            card.close();
            linux.remove_tap(tap).unwrap();
        }
        // The next call forgets what the dead one had said of guests that never came.
        linux.set_rules(&rules(false, &[stays])).unwrap();
        assert_eq!(sh("nft list set bridge banger guests | grep -o bgr | wc -l"), "1");
        assert_eq!(sh("ip neigh show dev banger0 nud permanent | wc -l"), "1");
    }
    println!(
        "RESULT helper killed while taps came and went: {times} times, {found} whole taps left, 0 others"
    );
}
