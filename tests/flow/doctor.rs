//! `banger doctor` on hosts that lack something, and with a bangerd that does not work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::place::Place;

/// What the doctor says: whether all is well, and its checks.
fn ask(place: &Place, arguments: &[&str]) -> (bool, Vec<Value>) {
    let line = ["doctor", "--json"].iter().chain(arguments);
    let output = place.owner.run(line);
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let well = said["well"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if well { 0 } else { 1 }));
    (well, said["checks"].as_array().unwrap().clone())
}

/// The check of this name; of several, the worst stands first where they are alike.
fn check<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name} in {checks:?}"))
}

fn state<'a>(checks: &'a [Value], name: &str) -> &'a str {
    check(checks, name)["state"].as_str().unwrap()
}

fn found<'a>(checks: &'a [Value], name: &str) -> &'a str {
    check(checks, name)["found"].as_str().unwrap()
}

#[test]
fn a_host_with_qemu_alone_is_warned_and_well() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["daemon", "stop"]);
    let (well, checks) = ask(&place, &[]);
    assert!(well, "{checks:#?}");
    // The fakes of both fail: no passt, and a bubblewrap that does not work.
    for name in ["passt", "bubblewrap"] {
        assert_eq!(state(&checks, name), "warning");
        assert!(found(&checks, name).contains("not here"), "{}", found(&checks, name));
        assert!(!check(&checks, name)["remedy"].as_array().unwrap().is_empty());
    }
    assert_eq!(state(&checks, "KVM"), "warning");
    assert_eq!(state(&checks, "QEMU"), "ok");
    assert!(found(&checks, "images").contains("tiny"));
    let proof = found(&checks, "a guest");
    assert!(state(&checks, "a guest") == "ok" && proof.contains("tcg, slirp"), "{proof}");
    assert!(found(&checks, "daemon").starts_with("started"), "{checks:?}");
    assert!(place.vmms().is_empty(), "nothing of the proof stays");
    // Without a root helper one line says that this is fine; with one there are more.
    let helper: Vec<_> = checks.iter().filter(|check| check["group"] == "root helper").collect();
    if !std::path::Path::new("/usr/libexec/banger/banger-roothelper").exists() {
        assert_eq!((helper.len(), &helper[0]["state"]), (1, &"ok".into()), "{helper:#?}");
        assert!(found(&checks, "installed").contains("VMs run rootless"), "{helper:#?}");
    }
    let (_, checks) = ask(&place, &["--quick"]);
    assert_eq!(state(&checks, "a guest"), "skipped");
    assert!(found(&checks, "daemon").starts_with("runs"), "{checks:?}");
}

#[test]
fn people_get_short_lines_and_what_to_type() {
    let Some(place) = Place::new() else { return };
    let output = place.owner.run(["doctor", "--quick"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning") && said.contains("try: "), "{said}");
    assert!(said.contains("banger image build debian --debian bookworm"), "{said}");
    let brief = place.owner.run(["doctor", "--quick", "--quiet"]);
    let brief = String::from_utf8(brief.stdout).unwrap();
    assert!(!brief.contains("  ok  ") && brief.contains("passt"), "{brief}");
    assert!(!place.owner.state().exists(), "a quick look makes nothing");
}

#[test]
fn without_a_qemu_that_runs_nothing_is_well() {
    let Some(place) = Place::new() else { return };
    place.mode("broken");
    let (well, checks) = ask(&place, &[]);
    assert!(!well && state(&checks, "QEMU") == "failed", "{checks:#?}");

    place.mode("mute");
    let (well, checks) = ask(&place, &[]);
    assert!(!well && state(&checks, "QEMU") == "ok", "{checks:#?}");
    assert!(found(&checks, "a guest").contains("did not say"), "{checks:#?}");

    place.mode("ends-at-once");
    let (well, checks) = ask(&place, &[]);
    assert!(!well && found(&checks, "a guest").contains("told to end"), "{checks:#?}");
}

#[test]
fn mistakes_broken_records_and_images_are_all_told() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["daemon", "stop"]);
    let config = place.owner.home().join(".config/banger/config.toml");
    place.owner.write(&config, b"[vm]\nmemroy = 1\ncpus = 0\n");
    let vm = fs::read_dir(place.owner.state().join("vms")).unwrap().next().unwrap().unwrap();
    place.owner.write(&vm.path().join("record.json"), b"{");
    fs::remove_file(place.owner.images().join("tiny/vmlinuz")).unwrap();
    let half_made = place.owner.state().join("vms/.new-x");
    fs::create_dir(&half_made).unwrap();
    place.owner.give(&half_made);
    let (well, checks) = ask(&place, &[]);
    assert!(!well);
    let mistakes: Vec<_> = checks.iter().filter(|check| check["name"] == "config").collect();
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert!(mistakes[0]["found"].as_str().unwrap().contains("config.toml:2: unknown key"));
    assert!(mistakes[1]["remedy"][0].as_str().unwrap().contains("+3 "));
    assert_eq!(state(&checks, "records"), "failed");
    assert_eq!(found(&checks, "images"), "tiny is not whole: vmlinuz");
    let leftovers = check(&checks, "leftovers");
    assert_eq!(leftovers["state"], "warning", "{leftovers}");
    assert!(leftovers["found"].as_str().unwrap().contains(".new-x"), "{leftovers}");
}

#[test]
fn it_works_without_bangerd_and_with_one_that_does_not() {
    let Some(place) = Place::new() else { return };
    let program = place.owner.home().join("bin/bangerd");
    let aside = place.owner.home().join("bin/aside");
    fs::rename(&program, &aside).unwrap();
    // Nothing is found along PATH or where packages put it.
    let installed = ["/usr/local/bin", "/usr/libexec/banger", "/usr/bin"];
    if installed.iter().any(|folder| std::path::Path::new(folder).join("bangerd").exists()) {
        return banger_tests::skip("bangerd is installed here");
    }
    let (well, checks) = ask(&place, &[]);
    assert!(!well);
    for (name, expected) in
        [("bangerd", "failed"), ("daemon", "skipped"), ("checks", "skipped"), ("ssh", "ok")]
    {
        assert_eq!(state(&checks, name), expected, "{checks:#?}");
    }

    // Another program of that name, and one of another version.
    place.owner.write(&program, b"#!/bin/sh\necho bangerd 0.0.1\n");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let (well, checks) = ask(&place, &["--quick"]);
    assert!(!well && found(&checks, "bangerd").contains("0.0.1"), "{checks:#?}");
    assert!(found(&checks, "checks").contains("answered something else"), "{checks:#?}");
    fs::remove_file(&program).unwrap();
    fs::rename(&aside, &program).unwrap();
}

#[test]
fn a_dead_socket_is_no_trouble_and_a_daemon_that_hangs_is() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["ls"]);
    place.kill_daemon();
    let (well, checks) = ask(&place, &["--quick"]);
    assert!(well && found(&checks, "daemon").contains("nobody listens"), "{checks:#?}");

    place.owner.ok(["ls"]);
    let pid = place.daemon().unwrap();
    let signal = |name: &str| Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    let (well, checks) = ask(&place, &["--quick"]);
    assert!(!well);
    let daemon = check(&checks, "daemon");
    assert_eq!(daemon["remedy"][0], format!("kill -KILL {pid}"), "{daemon}");
    assert_eq!(state(&checks, "QEMU"), "ok", "the rest is looked at all the same");
    place.kill_daemon();
}

#[test]
fn an_open_folder_of_the_socket_is_told() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["ls"]);
    place.kill_daemon();
    let folder = place.owner.state().join("run");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let (well, checks) = ask(&place, &[]);
    assert!(!well && state(&checks, "folder") == "failed", "{checks:#?}");
    assert_eq!(check(&checks, "folder")["remedy"][0], format!("chmod 0700 {}", folder.display()));
    assert_eq!(state(&checks, "daemon"), "skipped");
}
