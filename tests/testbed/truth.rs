//! What there is after something was killed, or the machine reset, while a VM started, stopped or went: what the
//! records say, nothing that is nobody's, and the guest's data.
//!
//! `BANGER_SEED` chooses the moments, `BANGER_VM_KILLS` and `BANGER_VM_RESETS` how many there are.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use banger_tests::testbed::{GuestImage, inside_with_guests, inside_with_resets, reset};
use serde_json::Value;

use crate::kills::Numbers;
use crate::owning::{as_user, by, devices, left_of_vms, vm, with_guests};
use crate::{number, sh};

const VERBS: [&str; 3] = ["start --timeout 100s", "stop", "rm"];
/// What is killed: programs of ann's or of root's, by what their command lines have.
const VICTIMS: [&[&str]; 4] =
    [&["bin/bangerd"], &["libexec/banger/banger-roothelper"], &["VMM"], &["bin/bangerd", "VMM"]];

fn create(name: &str) {
    by(
        "ann",
        &format!(
            "banger -q create --name {name} --memory 128M --cpus 1 --disk 64M; \
         banger -q start --timeout 100s {name}; banger exec {name} -- sh -c 'echo {name} >/etc/mine; sync'"
        ),
    );
}

/// States that a VM stays in.
fn rests(name: &str) -> Option<String> {
    let begun = Instant::now();
    loop {
        let all: Vec<Value> =
            serde_json::from_str(&by("ann", "banger ls --json 2>/dev/null")).unwrap();
        let vm = all.iter().find(|vm| vm["name"] == name)?;
        let state = vm["state"].as_str().unwrap().to_owned();
        if ["created", "running", "stopped", "failed"].contains(&&*state) {
            return Some(state);
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{name} is {state}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Makes the VM what the verb needs.
fn make_ready(verb: &str) {
    match (verb.split(' ').next().unwrap(), rests("web").as_deref()) {
        (_, None) => create("web"),
        ("stop", Some("running")) | ("start" | "rm", Some("created" | "stopped" | "failed")) => {
            return;
        }
        ("stop", Some(_)) => drop(by("ann", "banger -q start --timeout 100s web")),
        _ => {}
    }
    if !verb.starts_with("stop") {
        by("ann", "banger -q stop web");
    }
}

/// Begins a verb as ann, whatever comes of it.
fn begin(verb: &str) -> std::process::Child {
    let line = as_user("ann", &format!("banger -q {verb} web"));
    let mut client = Command::new("bash");
    client.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    client.spawn().unwrap()
}

/// That nothing of this VM's is called nobody's, and that all which is has a reason; then it goes.
fn collect(ours: &[String]) {
    let found = by("ann", "banger gc --dry-run --json 2>/dev/null");
    let found: Vec<Value> = serde_json::from_str(&found).unwrap_or_else(|e| panic!("{e}: {found}"));
    for garbage in &found {
        assert!(garbage["reason"].as_str().is_some_and(|why| !why.is_empty()), "{garbage}");
        assert!(!ours.iter().any(|id| garbage.to_string().contains(id)), "{garbage}");
    }
    by("ann", "banger gc");
    let again = by("ann", "banger gc --dry-run --json 2>/dev/null");
    assert!(!again.contains("\"removable\""), "{again}");
}

fn id(name: &str) -> String {
    vm(name)["id"].as_str().unwrap().to_owned()
}

/// What there must be of `web` afterwards; it runs then, with its data.
fn judge(verb: &str, others: &[String]) {
    let state = rests("web");
    let mut ours = others.to_vec();
    if state.is_some() {
        ours.push(id("web"));
    }
    collect(&ours);
    match state.as_deref() {
        None => {
            assert!(verb.starts_with("rm"), "{verb} has removed the VM");
            for line in devices().lines().filter(|line| line.starts_with("banger-")) {
                assert!(others.iter().any(|id| line.contains(id)), "left: {line}");
            }
            create("web");
        }
        Some("running") => {}
        Some(_) => drop(by("ann", "banger -q start --timeout 100s web")),
    }
    assert_eq!(by("ann", "banger exec web -- cat /etc/mine"), "web", "after {verb}");
}

#[test]
fn whatever_is_killed_while_a_vm_starts_stops_or_goes_nothing_is_lost_and_nothing_leaks() {
    inside_with_guests(&[GuestImage::Tiny], || {
        with_guests("ann");
        let (seed, kills) = (number("BANGER_SEED", 1), number("BANGER_VM_KILLS", 2));
        let mut numbers = Numbers(seed);
        let begun = Instant::now();
        create("other");
        let whole = begun.elapsed();
        let other = id("other");
        let its_vmm = || sh(&format!("pgrep -f -o banger-{other}"));
        let runs = its_vmm();
        for kill in 0..kills {
            let verb = VERBS[numbers.below(3) as usize];
            let victims = VICTIMS[numbers.below(4) as usize];
            make_ready(verb);
            let web = id("web");
            let after = whole.mul_f64(numbers.below(1000) as f64 / 1000.0);
            println!("seed {seed}, kill {kill}: {verb}, {victims:?} after {after:?}");
            let mut client = begin(verb);
            std::thread::sleep(after);
            for victim in victims {
                let what =
                    if *victim == "VMM" { format!("banger-{web}") } else { (*victim).to_owned() };
                // In brackets, so that the shell that asks for it is not meant.
                let (first, rest) = what.split_at(1);
                sh(&format!("pkill -KILL -f '[{first}]{rest}' || true"));
            }
            client.wait().unwrap();
            judge(verb, std::slice::from_ref(&other));
            assert_eq!(its_vmm(), runs, "the VM that nobody spoke of runs on");
        }
        assert_eq!(by("ann", "banger exec other -- cat /etc/mine"), "other");
        by("ann", "banger rm --force web other");
        assert_eq!(left_of_vms(), "");
        println!(
            "RESULT kill -9 of bangerd, helper and VMM while a VM starts, stops and goes, seed {seed}: \
             {kills} kills, 0 violations"
        );
    });
}

#[test]
fn a_computer_that_is_reset_while_a_vm_starts_stops_or_goes_has_it_again_with_its_data() {
    inside_with_resets(&[GuestImage::Tiny], |times| {
        with_guests("ann");
        let (seed, resets) = (number("BANGER_SEED", 1), number("BANGER_VM_RESETS", 1));
        let mut numbers = Numbers(seed.wrapping_add(times));
        let verb = VERBS[numbers.below(3) as usize];
        if times == 0 {
            let begun = Instant::now();
            create("web");
            sh(&format!("echo {} >/root/whole; sync", begun.elapsed().as_millis()));
        } else {
            let before = Numbers(seed.wrapping_add(times - 1)).below(3);
            assert_eq!(devices(), "", "nothing of the time before");
            judge(VERBS[before as usize], &[]);
        }
        if times < resets {
            make_ready(verb);
            let whole: u64 = sh("cat /root/whole").parse().unwrap();
            #[expect(clippy::zombie_processes, reason = "the reset ends it")]
            let _client = begin(verb);
            std::thread::sleep(Duration::from_millis(numbers.below(whole)));
            reset();
        }
        by("ann", "banger rm --force web");
        assert_eq!(left_of_vms(), "");
        println!(
            "RESULT resets of a computer while a VM starts, stops and goes, seed {seed}: {resets} resets, \
             0 violations"
        );
    });
}
