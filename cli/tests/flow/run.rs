//! `run`, `exec` and `ssh`: the guest's exit codes, and a VM that leaves nothing behind.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::place::Place;

const REMOVED: [&str; 6] = [
    "create ephemeral=true",
    "hold calm-otter",
    "start calm-otter",
    "ssh-target calm-otter",
    "remove calm-otter force=true",
    "released calm-otter",
];

#[test]
fn a_run_with_rm_removes_what_it_made() {
    let place = Place::new(&[]);
    let ran = place.run(&["run", "--rm", "--", "echo", "it's"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    place.wait_for_call("released calm-otter");
    assert_eq!(place.calls()[1..], REMOVED);
    let arguments = place.ssh_arguments();
    assert!(arguments.contains("\n-T\n"), "there is no terminal here: {arguments}");
    assert!(
        arguments.ends_with("\ntrap : INT QUIT; 'echo' 'it'\\''s' ; exit \"$?\"\n"),
        "{arguments}"
    );
}

#[test]
fn a_run_without_rm_keeps_it_and_says_so() {
    let place = Place::new(&[]);
    let ran = place.run(&["run", "--name", "web", "--", "true"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.err.contains("calm-otter runs on") || ran.err.contains("web runs on"),
        "{}",
        ran.err
    );
    assert!(!place.calls().iter().any(|call| call.contains("remove") || call.contains("hold")));
}

#[test]
fn the_commands_exit_code_passes_through_and_the_vm_goes() {
    for code in [1, 7, 126, 127, 137, 255] {
        let place = Place::new(&[]);
        // As ssh does, the log's name is the fourth argument, and it tells of the end.
        place.program(
            "ssh",
            &format!("echo 'debug1: x:client_loop():1: Exit status {code}' >>\"$4\"; exit {code}"),
        );
        let ran = place.run(&["run", "--rm", "-q", "--", "x"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""));
        place.wait_for_call("remove calm-otter force=true");
    }
}

#[test]
fn a_connection_that_fails_is_bangers_failure() {
    let place = Place::new(&[]);
    place.program("ssh", "echo 'ssh: connect to host x: Connection refused' >>\"$4\"; exit 255");
    for arguments in [&["run", "--rm", "x"][..], &["exec", "web", "x"], &["ssh", "web"]] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(125), "{arguments:?}");
        assert!(ran.err.contains("error: the connection to"), "{}", ran.err);
        assert!(
            ran.err.contains("because: ssh: connect to host x: Connection refused"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("try: banger inspect"), "{}", ran.err);
    }
}

#[test]
fn a_start_that_fails_is_125_and_leaves_no_vm() {
    let place = Place::new(&["start fails"]);
    let ran = place.run(&["run", "--rm", "x"]);
    assert_eq!(ran.code, Some(125));
    assert!(ran.err.contains("error: cannot start calm-otter"), "{}", ran.err);
    assert!(place.calls().contains(&"remove calm-otter force=true".to_owned()));
}

#[test]
fn no_image_is_told_with_what_to_do() {
    let place = Place::new(&["no image"]);
    let ran = place.run(&["run", "--rm", "x"]);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.err.ends_with("  try: banger image build debian --debian bookworm\n"),
        "{}",
        ran.err
    );
}

/// Starts `run --rm`, sends `signal` to it alone after `call`, and gives back its code.
fn interrupted(place: &Place, signal: Signal, call: &str) -> Option<i32> {
    let mut command = place.banger(&["run", "--rm", "--", "x"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for_call(call);
    // What follows the call takes a moment: the signal comes in the middle of it.
    std::thread::sleep(Duration::from_millis(200));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupted_start_leaves_no_vm() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let place = Place::new(&["start hangs"]);
        assert_eq!(interrupted(&place, signal, "start calm-otter"), Some(code));
        assert!(place.calls().contains(&"remove calm-otter force=true".to_owned()));
    }
}

#[test]
fn a_terminated_session_ends_its_ssh_and_leaves_no_vm() {
    let place = Place::new(&[]);
    place.program("ssh", "echo $$ >\"$HOME/ssh-pid\"; exec sleep 60");
    assert_eq!(interrupted(&place, Signal::TERM, "ssh-target calm-otter"), Some(143));
    assert!(place.calls().contains(&"remove calm-otter force=true".to_owned()));
    let pid = fs::read_to_string(place.home().join("ssh-pid")).unwrap();
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "ssh lives on");
}

#[test]
fn a_killed_run_lets_go_of_its_vm() {
    let place = Place::new(&[]);
    place.program("ssh", "exec sleep 3");
    assert_eq!(interrupted(&place, Signal::KILL, "ssh-target calm-otter"), None);
    place.wait_for_call("released calm-otter");
}

#[test]
fn timings_end_with_bangers_own_work() {
    let place = Place::new(&[]);
    let ran = place.run(&["run", "--rm", "--timings", "-q", "--", "x"]);
    let names: Vec<_> = ran.err.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(
        names.iter().filter(|name| !name.starts_with('-')).copied().collect::<Vec<_>>(),
        [
            "prepare_work_disk",
            "boot_guest",
            "run_command",
            "between_stages",
            "total",
            "banger's own work"
        ],
        "{}",
        ran.err
    );
}

#[test]
fn variables_travel_beside_the_command_line() {
    let place = Place::new(&[]);
    // Standard input and the last argument of each ssh, one after the other.
    place.program("ssh", "for last; do :; done; { cat; echo; echo \"$last\"; } >>\"$HOME/said\"");
    fs::write(place.home().join("variables"), "A=from the file\nB=2\n").unwrap();
    let file = place.home().join("variables");
    let ran = place.run(&[
        "exec",
        "-e",
        "A=se'cret",
        "--env-file",
        file.to_str().unwrap(),
        "-w",
        "/srv",
        "web",
        "--",
        "x",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said = fs::read_to_string(place.home().join("said")).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "export A='from the file' || return 125",
            "export B='2' || return 125",
            "export A='se'\\''cret' || return 125",
        ]
    );
    let name = lines[4].strip_prefix("umask 077; cat >").unwrap();
    assert_eq!(
        lines[6],
        format!(
            "exec 9<{name}; rm -f {name}; . /proc/self/fd/9 || exit 125; exec 9<&-; cd -- '/srv' \
             || {{ echo 'error: the command was not run: the guest has no such folder to begin in' >&2; exit 125; }}; \
             trap : INT QUIT; 'x' ; exit \"$?\""
        )
    );
    assert_eq!(lines.iter().filter(|line| line.contains("cret")).count(), 1, "{said}");
    for arguments in
        [&["exec", "-e", "a-b=1", "web", "x"][..], &["run", "--env-file", "/nowhere", "x"]]
    {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(125), "{}", ran.err);
    }
    assert!(!place.calls().iter().any(|call| call.contains("create")), "nothing was begun");
}
