//! `ssh-config` and the way to sshd that it names.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;

use crate::place::Place;

#[test]
fn every_vm_has_a_block_that_names_this_program() {
    let place = Place::new(&[]);
    let text = place.run(&["ssh-config"]).out;
    let hosts: Vec<_> = text.lines().filter(|line| line.starts_with("Host ")).collect();
    assert_eq!(hosts, ["Host banger-web", "Host banger-db"]);
    assert!(text.contains("  IdentityFile \"/nowhere/"), "{text}");
    assert!(text.contains("/banger' ssh-proxy '"), "{text}");
    assert!(!place.calls().iter().any(|call| call.starts_with("ssh-target")), "none need run");
    let text = place.run(&["ssh-config", "web"]).out;
    assert_eq!(text.matches("Host banger-").count(), 1);
}

#[test]
fn bytes_pass_to_sshd_and_back() {
    let place = Place::new(&[]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    fs::write(place.home().join("port"), listener.local_addr().unwrap().port().to_string())
        .unwrap();
    let guest = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // No line ends: nothing may wait for one.
        stream.write_all(b"SSH-2.0-x").unwrap();
        let mut got = [0; 5];
        stream.read_exact(&mut got).unwrap();
        stream.write_all(&got).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        stream.write_all(&rest).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let mut command = place.banger(&["ssh-proxy", "web"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut greeting = [0; 9];
    screen.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"SSH-2.0-x");
    keys.write_all(b"\xff\x00abc").unwrap();
    let mut echo = [0; 5];
    screen.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\xff\x00abc");
    keys.write_all(&[7; 200_000]).unwrap();
    drop(keys);
    let mut rest = Vec::new();
    screen.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, vec![7; 200_000]);
    assert!(child.wait().unwrap().success());
    guest.join().unwrap();
}

#[test]
fn a_port_where_nobody_listens_is_told() {
    let place = Place::new(&[]);
    fs::write(place.home().join("port"), "1").unwrap();
    let ran = place.run(&["ssh-proxy", "web"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("the connection to the guest was lost"), "{}", ran.err);
}
