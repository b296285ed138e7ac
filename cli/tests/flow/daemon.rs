//! bangerd is there when it is needed, once, and trusted only where it may be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::place::Place;

#[test]
fn it_is_started_on_demand_and_found_again() {
    let place = Place::new(&[]);
    assert_eq!(place.run(&["ls", "-q"]).out, "web\ndb\n");
    assert_eq!(place.run(&["ls", "-q"]).out, "web\ndb\n");
    assert_eq!(place.calls(), ["started"]);
    let version = place.run(&["version"]).out;
    assert!(version.contains("(process "), "{version}");
}

#[test]
fn many_at_once_all_succeed_with_one_daemon() {
    let place = Place::new(&[]);
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = place.banger(&["ls", "-q"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(place.calls(), ["started"]);
}

#[test]
fn what_a_killed_one_left_is_taken_over() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let version = place.run(&["version"]).out;
    let pid = version.rsplit("process ").next().unwrap().trim_end_matches(")\n").to_owned();
    let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    assert!(killed.success());
    assert_eq!(place.run(&["ls", "-q"]).out, "web\ndb\n");
    assert_eq!(place.calls(), ["started", "started"]);
}

#[test]
fn one_that_dies_while_it_is_asked_is_replaced() {
    let place = Place::new(&["dies when asked"]);
    let ran = place.run(&["ls", "-q"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("web\ndb\n", ""));
    assert_eq!(place.calls(), ["started", "started"]);
}

#[test]
fn one_of_another_version_is_replaced() {
    let place = Place::new(&["old version"]);
    let ran = place.run(&["ls", "-q"]);
    assert_eq!(ran.out, "web\ndb\n");
    let ran = place.run(&["ls"]);
    assert_eq!(ran.err, "", "the second time it is the right one");
    assert_eq!(place.calls(), ["started", "shutdown", "started"]);
}

#[test]
fn its_last_words_are_told_when_it_does_not_start() {
    let place = Place::new(&["does not start"]);
    let ran = place.run(&["ls"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r"
    error: bangerd did not start: exit status: 3
      because: the state folder is on fire
      try: run bangerd in a terminal of its own to see more
    ");
}

#[test]
fn one_that_answers_elsewhere_is_told() {
    let place = Place::new(&["runs elsewhere"]);
    let ran = place.run(&["ls"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.err, @r"
    error: bangerd did not start: exit status: 0
      because: bangerd runs already as process 7
      try: set XDG_RUNTIME_DIR as it was where that one was started, or end that one
    ");
}

#[test]
fn one_that_is_about_to_end_is_followed() {
    let place = Place::new(&["another is ending"]);
    let ran = place.run(&["ls"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(place.calls(), ["started"]);
}

#[test]
fn a_folder_that_others_may_enter_is_not_trusted() {
    let place = Place::new(&[]);
    place.run(&["ls"]);
    let folder = place.home().join(".local/state/banger/run");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let ran = place.run(&["ls"]);
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("must be a folder of your own with mode 0700"), "{}", ran.err);
    assert!(ran.err.contains("try: "), "{}", ran.err);
}

#[test]
fn the_folder_that_stands_in_the_way_is_named() {
    let place = Place::new(&[]);
    let local = place.home().join(".local");
    // As an installer leaves it that was run with sudo.
    fs::create_dir(&local).unwrap();
    fs::set_permissions(&local, PermissionsExt::from_mode(0o555)).unwrap();
    let ran = place.run(&["ls"]);
    fs::set_permissions(&local, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, Some(1));
    let local = local.display().to_string();
    insta::assert_snapshot!(ran.err.replace(&local, "~/.local"), @r"
    error: cannot make the folder ~/.local/state/banger/run: ~/.local is not yours to write to
      try: make it yours: sudo chown $USER ~/.local
    ");
}

#[test]
fn asking_for_the_version_starts_and_makes_nothing() {
    let place = Place::new(&[]);
    let ran = place.run(&["version"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("bangerd  not running"), "{}", ran.out);
    assert!(!place.home().join(".local").exists());
}

#[test]
fn root_is_sent_away() {
    if !rustix::process::geteuid().is_root() {
        // Whoever is not root cannot try it; as root it is tried with every `make test`.
        return;
    }
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_banger")).arg("ls").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("try: run it as an ordinary user"));
}
