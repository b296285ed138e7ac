//! Many small guests at once, again and again: each has its whole life, and nothing is left.
//!
//! A few of them once in `make test`; `BANGER_PARALLEL_VMS` and `BANGER_PARALLEL_ROUNDS` say
//! how many and how often, as `make soak` does.

use std::fs;
use std::time::Instant;

use banger_tests::owner::Owner;

use crate::image::{self, Image};

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// The descriptors that bangerd has open.
fn descriptors(owner: &Owner) -> usize {
    let lock = fs::read_to_string(owner.state().join("bangerd.lock")).unwrap();
    fs::read_dir(format!("/proc/{}/fd", lock.trim())).unwrap().count()
}

/// One VM's life, which must go as it should at every step.
fn live(owner: &Owner, name: &str) {
    let shape = ["--memory", "96M", "--cpus", "1", "--disk", "64M", "--publish", "22"];
    owner.ok(["-q", "create", "--name", name].iter().chain(&shape));
    owner.ok(["-q", "start", name]);
    assert_eq!(owner.ok(["exec", name, "--", "hostname"]), format!("{name}\n"));
    owner.ok(["-q", "stop", name]);
    let vm: serde_json::Value =
        serde_json::from_str(&owner.ok(["inspect", "--json", name])).unwrap();
    assert_eq!((&vm["state"], &vm["state_reason"]), (&"stopped".into(), &"".into()), "{name}");
    owner.ok(["-q", "rm", name]);
}

#[test]
fn guests_live_beside_each_other_and_leave_nothing() {
    let Some(owner) = image::owner(Image::Tiny) else { return };
    let (vms, rounds) = (number("BANGER_PARALLEL_VMS", 6), number("BANGER_PARALLEL_ROUNDS", 1));
    // The first VM finds out what the host can do, which is kept.
    live(&owner, "first");
    let before = descriptors(&owner);
    for round in 1..=rounds {
        let begun = Instant::now();
        let lived = std::thread::scope(|scope| {
            let lives: Vec<_> = (0..vms)
                .map(|index| {
                    let owner = &owner;
                    scope.spawn(move || live(owner, &format!("tiny-{round}-{index}")))
                })
                .collect();
            lives.into_iter().filter_map(|life| life.join().ok()).count()
        });
        let seconds = begun.elapsed().as_secs();
        println!("round {round} of {rounds}: {lived} of {vms} in {seconds} s");
        assert_eq!(lived, vms, "round {round}");

        assert_eq!(owner.ok(["ls", "-q"]), "");
        assert_eq!(fs::read_dir(owner.state().join("vms")).unwrap().count(), 0);
        image::wait_for("only bangerd to be left", || owner.processes().len() == 1);
        image::wait_for("bangerd to close what it opened", || descriptors(&owner) <= before);
    }
}

#[test]
fn a_guest_without_a_network_is_up_when_it_says_so() {
    let Some(owner) = image::owner(Image::Tiny) else { return };
    owner.ok(["create", "--name", "alone", "--memory", "96M", "--disk", "64M", "--net", "none"]);
    owner.ok(["start", "alone"]);
    let console = owner.ok(["logs", "alone"]);
    assert!(console.contains("banger-ready"), "{console}");
    let output = owner.run(["exec", "alone", "--", "true"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("banger console alone"));
    owner.ok(["stop", "alone"]);
    owner.ok(["rm", "alone"]);
}
