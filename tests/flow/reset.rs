//! The host reset at any moment: clients at work, everything killed at once, and what the
//! next daemon makes of it.
//!
//! `BANGER_SEED` chooses the moments and verbs, `BANGER_KILLS` how many there are.

mod client;
mod model;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use banger_tests::{engine, fsck};
use serde_json::Value;

use self::client::{Client, fingerprint};
use self::model::{Fate, Model};
use crate::place::Place;

/// A sequence of numbers that its seed determines.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    pub fn seeded(seed: u64) -> Self {
        // The generator below stays at zero for ever.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % end
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// How many clients are at work at once.
const CLIENTS: u64 = 3;

#[test]
fn nothing_is_lost_and_nothing_leaks_when_the_host_is_reset_at_any_moment() {
    let Some(place) = Place::with_image() else { return };
    let seed = number("BANGER_SEED", 1);
    let kills = number("BANGER_KILLS", 8);
    println!("seed {seed}, {kills} kills: BANGER_SEED and BANGER_KILLS choose others");
    let tar = place.tar(&crate::place::Tar::tiny());
    let mut numbers = Numbers::seeded(seed);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|index| Client::new(&place, index, tar.clone(), Numbers::seeded(seed * 31 + index)))
        .collect();
    let begun = Instant::now();
    for kill in 1..=kills {
        let stop = AtomicBool::new(false);
        let what = std::thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| client.work(&stop));
            }
            std::thread::sleep(Duration::from_millis(numbers.below(1200)));
            // A host that is reset starts nothing any more.
            stop.store(true, Ordering::SeqCst);
            strike(&place, &mut numbers)
        });
        let about = format!("seed {seed}, kill {kill} of {kills} ({what})");
        check(&place, &mut clients, &about, &mut numbers);
        println!("{about}: whole, {:?}", begun.elapsed());
    }
    for client in &mut clients {
        client.end(&place);
    }
    assert_eq!(place.owner.ok(["vm", "ls", "-q"]).trim(), "");
    place.owner.ok(["daemon", "stop"]);
    wait("every process to end", || place.owner.processes().is_empty());
}

fn kill(pid: u32) {
    let mut command = Command::new("kill");
    let _gone = command.args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
}

/// Kills everything of the owner's, or one of it.
fn strike(place: &Place, numbers: &mut Numbers) -> &'static str {
    let named = |name: &str| {
        let mut found = place.owner.processes();
        found.retain(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(name)
        });
        found
    };
    let one = |found: Vec<u32>, numbers: &mut Numbers| {
        if !found.is_empty() {
            kill(found[usize::try_from(numbers.below(found.len() as u64)).unwrap()]);
        }
    };
    match numbers.below(8) {
        0 => {
            place.daemon().into_iter().for_each(kill);
            "the daemon"
        }
        1 => {
            one(named("qemu-system-x86_64"), numbers);
            "a VMM"
        }
        2 => {
            one(named("bin/banger\0"), numbers);
            "a client"
        }
        3 => {
            one(named("import-worker"), numbers);
            "an import"
        }
        _ => {
            // What is started while others are killed is killed too.
            wait("everything to be killed", || {
                let found = place.owner.processes();
                found.iter().copied().for_each(kill);
                found.is_empty()
            });
            "everything"
        }
    }
}

fn wait(what: &str, mut come_about: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come_about() {
        assert!(begun.elapsed() < Duration::from_secs(40), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn json(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let text = place.owner.ok(arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn names(listed: &[Value]) -> BTreeSet<String> {
    listed.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// The records and the files agree, and say what was acknowledged.
fn check(place: &Place, clients: &mut [Client<'_>], about: &str, numbers: &mut Numbers) {
    // A VM that goes with its command goes once the daemon knows that it has ended.
    wait("ephemeral VMs to go", || {
        json(place, &["vm", "ls", "--json"]).iter().all(|vm| vm["ephemeral"] == false)
    });
    let output = place.owner.run(["vm", "ls"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("broken"), "{about}: {output:?}");
    let vms = json(place, &["vm", "ls", "--json"]);
    let (there, images) = (names(&vms), names(&json(place, &["image", "ls", "--json"])));
    for client in &mut *clients {
        client.vms.settle(&there, about, |_| String::new());
        client.images.settle(&images, about, |name| fingerprint(place, name));
    }
    let known: BTreeSet<_> = clients.iter().flat_map(|client| client.vms.present()).collect();
    assert_eq!(there, known, "{about}: VMs that nobody made");

    // What runs is what is said to run, and nothing else of the owner's does.
    wait("strays to end", || {
        let vms = json(place, &["vm", "ls", "--json"]);
        let said: BTreeSet<_> =
            vms.iter().filter_map(|vm| vm["running"]["vmm_pid"].as_u64()).collect();
        let running: BTreeSet<_> = place.vmms().into_iter().map(u64::from).collect();
        let daemon = place.daemon().map(u64::from);
        let others = place.owner.processes().into_iter().map(u64::from);
        let strange = others.filter(|pid| !said.contains(pid) && Some(*pid) != daemon).count();
        said == running && strange == 0
    });
    let left = place.leftovers();
    assert!(left.is_empty(), "{about}: {left:?}");
    for found in json(place, &["gc", "--dry-run", "--json"]) {
        assert_ne!(found["reason"], "", "{about}: {found}");
    }
    place.owner.ok(["gc"]);
    let left = json(place, &["gc", "--dry-run", "--json"]);
    assert!(left.is_empty(), "{about}: {left:?}");

    // One of those that were acknowledged, started again.
    let known: Vec<_> = known.into_iter().collect();
    if !known.is_empty() {
        let name = &known[usize::try_from(numbers.below(known.len() as u64)).unwrap()];
        if place.state(name) != "running" {
            place.owner.ok(["vm", "start", name]);
        }
    }
}

impl Client<'_> {
    /// Everything that this client made can be used, and goes.
    fn end(&mut self, place: &Place) {
        for name in self.vms.present() {
            if place.state(&name) != "running" {
                place.owner.ok(["vm", "start", &name]);
            }
            place.owner.ok(["vm", "stop", "--timeout", "0", &name]);
            let vm = place.vm(&name);
            let folder = std::path::Path::new(vm["directory"].as_str().unwrap());
            for disk in ["rootfs.ext4", "work.ext4"] {
                fsck::assert_clean(&folder.join(disk));
            }
            // As large as it was last said to be.
            let filesystem = engine::open(&folder.join("work.ext4"));
            let geometry = filesystem.geometry();
            let mib = geometry.offset(geometry.blocks_count) >> 20;
            assert_eq!(Some(mib), vm["disk_mib"].as_u64(), "{name}");
            place.owner.ok(["vm", "rm", &name]);
        }
        for name in self.images.present() {
            assert_eq!(self.images.fate(&name), Some(&Fate::There(fingerprint(place, &name))));
            place.owner.ok(["image", "rm", &name]);
        }
    }
}

#[test]
fn the_model_notices_what_is_lost_and_what_comes_back() {
    let there = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let fails = |model: &Model, names: &[&str], print: &str| {
        let (mut model, names, print) = (model.clone(), there(names), print.to_owned());
        std::panic::catch_unwind(move || model.settle(&names, "", |_| print.clone())).is_err()
    };
    let mut model = Model::default();
    model.unsure("a");
    model.there("b", "bytes");
    model.gone("c");
    assert!(!fails(&model, &["b"], "bytes") && !fails(&model, &["a", "b"], "bytes"));
    assert!(fails(&model, &["a"], "bytes"), "b is lost");
    assert!(fails(&model, &["b", "c"], "bytes"), "c is back");
    assert!(fails(&model, &["b"], "other"), "b is another");
    model.settle(&there(&["b"]), "", |_| "bytes".into());
    assert!(fails(&model, &["a", "b"], "bytes"), "a comes after it was seen not to be there");
}
