//! `image build` with a fake mmdebstrap: what it says, how it fails, how it is given up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::place::{Place, Tar};

/// The beginning of every fake: who waits for whom, and what is left.
const BEGINNING: &str = "#!/bin/sh\n\
    here=$(dirname \"$0\")\n\
    echo 'I: downloading packages with apt...' >&2\n\
    echo 'I: running --customize-hook in shell: secret' >&2\n";

/// A place whose mmdebstrap does this; `None` where it would not be started.
fn place(script: &str) -> Option<Place> {
    let place = Place::new()?;
    let uidmap = ["/usr/bin/newuidmap", "/bin/newuidmap"];
    let ids = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    if !uidmap.iter().any(|path| std::path::Path::new(path).exists())
        || !ids.contains(&format!("{}:", place.owner.account().name))
    {
        banger_tests::skip("no subordinate ids for the user, or no newuidmap (package uidmap)");
        return None;
    }
    place.program("mmdebstrap", &format!("{BEGINNING}{script}\n"));
    place.owner.write(&place.programs().join("tar"), &Tar::tiny().0);
    Some(place)
}

fn build(place: &Place) -> std::process::Command {
    place.owner.banger(["image", "build", "deb", "--debian", "bookworm", "--size", "64M"])
}

/// Builds, which must fail, and gives what was said.
fn fails(script: &str) -> Option<String> {
    let place = place(script)?;
    let output = build(&place).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_a_builder_writes_becomes_an_image() {
    let Some(place) = place("cat \"$here/tar\"") else { return };
    let output = build(&place).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("downloading packages") && !said.contains("secret"), "{said}");
    let image = place.owner.ok(["image", "inspect", "deb"]);
    assert!(image.contains("debian bookworm") && image.contains("6.1.0-25"), "{image}");
}

#[test]
fn a_builder_that_fails_is_quoted_with_what_to_do() {
    let mirror = "echo 'E: Failed to fetch http://x/y  Connection timed out' >&2; exit 25";
    let Some(said) = fails(mirror) else { return };
    assert!(said.contains("mirror") && said.contains("--mirror"), "{said}");
    assert!(said.contains("Connection timed out"), "{said}");

    // In the middle of its tar: the builder's word counts, not that the tar is cut.
    let full = "head -c 9000 \"$here/tar\"; echo 'tar: -: No space left on device' >&2; exit 1";
    let said = fails(full).unwrap();
    assert!(said.contains("the disk is full") && said.contains("free some space"), "{said}");

    let said = fails("head -c 9000 \"$here/tar\"").unwrap();
    assert!(said.contains("tar"), "well ended and cut: {said}");
}

#[test]
fn a_build_ends_with_the_command_that_asked_for_it() {
    let script = "trap 'touch \"$here/cleaned\"; exit 1' TERM; head -c 9000 \"$here/tar\"; \
        while :; do sleep 0.1; done";
    let Some(place) = place(script) else { return };
    let folder = place.programs();
    let mut command = build(&place);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while place.unfinished().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    place.kill_command_lines();
    child.wait().unwrap();
    let begun = Instant::now();
    while !folder.join("cleaned").exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the builder could not clean up");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(place.leftovers().is_empty(), "{:?}", place.leftovers());
    assert_eq!(place.owner.ok(["image", "ls", "-q"]), "");
}

#[test]
fn what_is_no_suite_is_not_handed_on() {
    let Some(place) = place("touch \"$here/started\"") else { return };
    for bad in ["--help", "../x", "Bookworm", ""] {
        let output = place.owner.run(["image", "build", "deb", &format!("--debian={bad}")]);
        assert!(!output.status.success(), "{bad}");
    }
    assert!(!place.programs().join("started").exists());
}
