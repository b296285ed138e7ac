//! One daemon a user: who it is, what it refuses, what it leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::place::Place;

#[test]
fn root_is_refused_with_what_to_do() {
    let Some(place) = Place::new() else { return };
    if !rustix::process::geteuid().is_root() {
        return banger_tests::skip("only root can try to be root");
    }
    let bangerd = place.owner.home().join("bin/bangerd");
    let output = Command::new(bangerd).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("root") && said.contains("ordinary user"), "{said}");
}

#[test]
fn a_second_daemon_says_who_the_first_is_and_ends_well() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["vm", "ls"]);
    let first = place.daemon().unwrap();
    let second = place.owner.command(place.owner.home().join("bin/bangerd")).output().unwrap();
    assert!(second.status.success());
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&first.to_string()), "{said}");
    assert_eq!(place.daemon(), Some(first));
}

#[test]
fn looking_makes_nothing_but_what_a_daemon_is() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["vm", "ls"]);
    place.owner.ok(["image", "ls"]);
    place.fails(&["vm", "inspect", "web"]);
    let mut made = Vec::new();
    let mut open = vec![place.owner.home().join(".local")];
    while let Some(folder) = open.pop() {
        let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => {
                    let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                    assert_eq!(mode, 0o600, "{}", entry.path().display());
                    made.push(entry.file_name().into_string().unwrap());
                }
            }
        }
    }
    made.sort_unstable();
    assert_eq!(made, ["bangerd.lock", "bangerd.sock"]);
}

#[test]
fn another_users_connection_is_closed() {
    let Some(place) = Place::new() else { return };
    if !rustix::process::geteuid().is_root() {
        return banger_tests::skip("only root reaches another user's socket");
    }
    place.owner.ok(["vm", "ls"]);
    // Root passes every file's mode, so that the check of the peer is what is met.
    let socket = place.owner.state().join("run/bangerd.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let mut answer = Vec::new();
    let read = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(matches!(read, Ok(0)) || read.is_err(), "{answer:?}");
    place.owner.ok(["vm", "ls"]);
}

#[test]
fn an_ended_daemon_takes_its_socket_along() {
    let Some(place) = Place::new() else { return };
    place.owner.ok(["vm", "ls"]);
    let pid = place.daemon().unwrap();
    Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    while place.daemon() == Some(pid) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!place.owner.state().join("run/bangerd.sock").exists());
    place.owner.ok(["vm", "ls"]);
    assert_ne!(place.daemon(), Some(pid));
}
