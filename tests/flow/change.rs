//! `restart`, `set`, `wait`, and a VM whose time is over.

use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_tests::fsck;

use crate::place::Place;

#[test]
fn a_restart_gives_another_vmm_with_what_was_set() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web", "--memory", "256M", "--cpus", "1"]);
    place.owner.ok(["restart", "web"]);
    let before = place.vm("web");
    assert_eq!(before["state"], "running", "one that does not run is started");
    place.owner.ok(["set", "web", "--memory", "128M"]);
    let between = place.vm("web");
    assert_eq!(between["memory_mib"], 128);
    assert_eq!(between["running"]["memory_mib"], 256);
    let shown = place.owner.ok(["inspect", "web"]);
    assert!(shown.contains("256 MiB, and 128 MiB from the next start on"), "{shown}");
    place.owner.ok(["restart", "--timeout", "0", "web"]);
    let after = place.vm("web");
    assert_eq!(after["running"]["memory_mib"], 128);
    assert_ne!(after["running"]["vmm_pid"], before["running"]["vmm_pid"]);
    assert_eq!(place.vmms().len(), 1);
}

#[test]
fn a_stop_that_comes_during_a_restart_is_the_last_word() {
    let Some(place) = Place::with_image() else { return };
    place.mode("deaf");
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["start", "web"]);
    let mut restart = place.owner.banger(["restart", "web"]);
    let restart = restart.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    place.wait_for("web", "stopping");
    let said = place.fails(&["start", "web"]);
    assert!(said.contains("is being restarted"), "{said}");
    place.owner.ok(["stop", "--timeout", "0", "web"]);
    let output = restart.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("broken off"), "{said}");
    assert_eq!(place.state("web"), "stopped");
    assert!(place.vmms().is_empty());
}

#[test]
fn a_disk_grows_while_nobody_uses_it_and_never_shrinks() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web", "--disk", "512M"]);
    place.owner.ok(["set", "web", "--disk", "600M"]);
    place.owner.ok(["start", "web"]);
    place.owner.ok(["stop", "web"]);
    let folder = std::path::PathBuf::from(place.vm("web")["directory"].as_str().unwrap());
    assert_eq!(folder.join("work.ext4").metadata().unwrap().len(), 600 << 20);
    let said = place.fails(&["set", "web", "--disk", "512M", "--memory", "64M"]);
    assert!(said.contains("cannot be made smaller"), "{said}");
    assert_eq!(place.vm("web")["memory_mib"], 1024, "all of a change or none of it");
    place.owner.ok(["set", "web", "--disk", "1G"]);
    assert_eq!(folder.join("work.ext4").metadata().unwrap().len(), 1 << 30);
    assert_eq!(place.vm("web")["disk_mib"], 1024);
    fsck::assert_clean(&folder.join("work.ext4"));
    place.owner.ok(["start", "web"]);
    let said = place.fails(&["set", "web", "--disk", "2G"]);
    assert!(said.contains("stop it first"), "{said}");
}

#[test]
fn a_wait_ends_with_what_it_waits_for() {
    let Some(place) = Place::with_image() else { return };
    place.mode("slow");
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["wait", "web"]);
    let wait = |arguments: &[&str]| {
        let mut command = place.owner.banger(["wait", "web"]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let for_ssh = wait(&["--for", "ssh"]);
    place.owner.ok(["start", "web"]);
    assert!(for_ssh.wait_with_output().unwrap().status.success());
    let for_stop = wait(&[]);
    let late = wait(&["--timeout", "1s"]).wait_with_output().unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("still running after 1 s"));
    place.owner.ok(["rm", "--force", "web"]);
    assert!(for_stop.wait_with_output().unwrap().status.success(), "one that is removed stopped");
    assert!(place.fails(&["wait", "web"]).contains("there is no VM web"));
}

/// Waits until there is no VM any more.
fn wait_for_none(place: &Place) {
    let begun = Instant::now();
    while !place.owner.ok(["ls", "-q"]).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", place.owner.ok(["ls"]));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_vm_whose_time_is_over_goes_whatever_it_does() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "stopped", "--ttl", "2s"]);
    place.owner.ok(["create", "--name", "runs", "--ttl", "90m"]);
    place.owner.ok(["start", "runs"]);
    let shown = place.owner.ok(["inspect", "runs"]);
    assert!(shown.contains("for 1 h "), "{shown}");
    place.owner.ok(["set", "runs", "--ttl", "1s"]);
    // In the middle of a start, which is broken off.
    place.mode("no-ssh");
    place.owner.ok(["create", "--name", "starts", "--ttl", "3s"]);
    assert!(!place.owner.run(["start", "starts"]).status.success());
    wait_for_none(&place);
    assert!(place.vmms().is_empty());
    assert!(place.leftovers().is_empty());
    let log = std::fs::read_to_string(place.owner.state().join("bangerd.log")).unwrap();
    assert_eq!(log.matches("its time is over").count(), 3, "{log}");
}

#[test]
fn a_time_that_runs_out_without_a_daemon_is_seen_by_the_next() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web", "--ttl", "1h"]);
    place.owner.ok(["start", "web"]);
    place.owner.ok(["set", "web", "--ttl", "1s"]);
    place.kill_daemon();
    std::thread::sleep(Duration::from_millis(1500));
    wait_for_none(&place);
    assert!(place.vmms().is_empty());
}
