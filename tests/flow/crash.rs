//! bangerd killed at any moment: VMs run on, records stay true, nothing is half made.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::place::Place;

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn vms_run_on_and_are_found_again() {
    let Some(place) = Place::with_image() else { return };
    for name in ["one", "two"] {
        place.owner.ok(["vm", "create", "--name", name]);
        place.owner.ok(["vm", "start", name]);
    }
    let before = place.vmms();
    assert_eq!(before.len(), 2);
    place.kill_daemon();
    assert_eq!(place.vmms(), before);
    assert_eq!(place.state("one"), "running");
    // Its end is noticed though it is no child of this daemon.
    let pid = u32::try_from(place.vm("one")["running"]["vmm_pid"].as_u64().unwrap()).unwrap();
    assert!(before.contains(&pid));
    let begun = Instant::now();
    place.kill(pid);
    while !place.owner.ok(["vm", "ls"]).contains("failed") {
        assert!(begun.elapsed() < Duration::from_secs(1), "ls does not say so within a second");
    }
    place.wait_for("one", "failed");

    // One that ends while no daemon runs.
    let pid = u32::try_from(place.vm("two")["running"]["vmm_pid"].as_u64().unwrap()).unwrap();
    place.kill_daemon();
    place.kill(pid);
    place.wait_for("two", "failed");
    place.owner.ok(["vm", "start", "two"]);
    place.owner.ok(["daemon", "stop"]);
    assert_eq!(place.vmms().len(), 1, "an orderly end leaves VMs alone too");
    place.owner.ok(["vm", "stop", "two"]);
    assert!(place.vmms().is_empty());
}

#[test]
fn a_restart_of_the_host_is_no_failure() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "start", "web"]);
    place.kill_daemon();
    place.kill(place.vmms()[0]);
    let vm = place.owner.state().join("vms");
    let record = std::fs::read_dir(vm).unwrap().next().unwrap().unwrap().path().join("record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let run = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(text.contains(run.trim()));
    place.owner.write(&record, text.replace(run.trim(), "an earlier run").as_bytes());
    place.wait_for("web", "stopped");
    assert_eq!(place.vm("web")["state_reason"], "the host restarted");
    place.owner.ok(["vm", "start", "web"]);
}

#[test]
fn what_a_later_banger_wrote_is_left_alone() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["daemon", "stop"]);
    let vm = place.owner.state().join("vms");
    let record = std::fs::read_dir(vm).unwrap().next().unwrap().unwrap().path().join("record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let later = text.replace("\"version\": 1", "\"version\": 2");
    assert_ne!(later, text);
    place.owner.write(&record, later.as_bytes());
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
    assert_eq!(std::fs::read_to_string(&record).unwrap(), later);
    let log = std::fs::read_to_string(place.owner.state().join("bangerd.log")).unwrap();
    assert!(log.contains("use the newer banger again"), "{log}");
}

#[test]
fn killed_while_it_stops_a_vm() {
    let Some(place) = Place::with_image() else { return };
    place.mode("deaf");
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.owner.ok(["vm", "start", "web"]);
    let mut stop = place.owner.banger(["vm", "stop", "web"]);
    let mut stop = stop.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("web", "stopping");
    place.kill_daemon();
    assert!(!stop.wait().unwrap().success());
    assert_eq!(place.state("web"), "running");
    place.owner.ok(["vm", "stop", "--timeout", "0", "web"]);
    assert!(place.vmms().is_empty());
}

#[test]
fn killed_at_random_moments() {
    let Some(place) = Place::with_image() else { return };
    let mut numbers = Numbers(0x5eed_1234_5678_9abc);
    let begun = Instant::now();
    for round in 0..12 {
        let name = format!("vm{round}");
        let mut create = place.owner.banger(["vm", "create", "--name", &name]);
        let mut create = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if round % 3 == 0 {
            std::thread::sleep(Duration::from_millis(numbers.below(25)));
            place.kill_daemon();
            create.wait().unwrap();
        } else {
            assert!(create.wait().unwrap().success());
            let mut start = place.owner.banger(["vm", "start", &name]);
            let mut start = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(numbers.below(500)));
            place.kill_daemon();
            start.wait().unwrap();
        }
        // What the next daemon says of each VM is true.
        let mut running = 0;
        for name in place.owner.ok(["vm", "ls", "-q"]).lines() {
            let vm = place.vm(name);
            match vm["state"].as_str().unwrap() {
                "running" => {
                    running += 1;
                    let pid = vm["running"]["vmm_pid"].as_u64().unwrap();
                    assert!(place.vmms().contains(&u32::try_from(pid).unwrap()), "{vm}");
                }
                "created" | "failed" => assert!(vm["running"].is_null(), "{vm}"),
                other => panic!("{name} is {other}"),
            }
        }
        assert_eq!(place.vmms().len(), running, "no VMM without a record");
        assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    }
    // Every one of them can be used on.
    for name in place.owner.ok(["vm", "ls", "-q"]).lines() {
        if place.state(name) != "running" {
            place.owner.ok(["vm", "start", name]);
        }
        place.owner.ok(["vm", "rm", "--force", name]);
    }
    assert!(place.vmms().is_empty());
    println!("{:?}", begun.elapsed());
}

#[test]
fn an_ephemeral_vm_goes_with_whoever_holds_it_also_over_a_restart() {
    let Some(place) = Place::with_image() else { return };
    // The greeting of the fake is no ssh session: the command fails, the VM is removed.
    let output = place.owner.run(["vm", "run", "--rm", "--name", "web", "--", "true"]);
    assert!(!output.status.success());
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]), "");
    assert!(place.vmms().is_empty());

    place.mode("no-ssh");
    let mut run = place.owner.banger(["vm", "run", "--rm", "--name", "held", "--", "true"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while place.vmms().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    place.kill_daemon();
    let _failed = run.wait().unwrap();
    let begun = Instant::now();
    while !place.owner.ok(["vm", "ls", "-q"]).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(15), "it is still there");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(place.vmms().is_empty());
}

#[test]
fn a_create_whose_client_is_killed_is_known_or_did_not_happen() {
    let Some(place) = Place::with_image() else { return };
    for number in 0..30_u64 {
        let name = format!("vm{number}");
        let mut child = place.owner.banger(["vm", "create", "--name", &name]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + number));
        place.kill_command_lines();
        child.wait().unwrap();
    }
    // What became of each is settled soon: the daemon knows of what it has written.
    let vms = || {
        let text = place.owner.ok(["vm", "ls", "--json"]);
        let vms: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let names = vms.iter().map(|vm| vm["name"].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    place.owner.ok(["vm", "create", "--name", "last"]);
    std::thread::sleep(Duration::from_millis(300));
    let known = vms();
    place.kill_daemon();
    assert_eq!(vms(), known, "the next daemon finds the same");
}
