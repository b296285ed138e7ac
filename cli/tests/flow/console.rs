//! `console`: keys and bytes pass, and the terminal is put back whatever ends it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::place::Place;

/// A terminal with a `banger console` in it.
struct Session {
    keyboard: File,
    terminal: OwnedFd,
    child: Child,
    seen: String,
}

impl Session {
    fn begin(place: &Place, arguments: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let open = || File::options().read(true).write(true).open(&name).unwrap();
        let child = place
            .banger(arguments)
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        rustix::io::ioctl_fionbio(&keyboard, true).unwrap();
        Self { keyboard: keyboard.into(), terminal: open().into(), child, seen: String::new() }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn see(&mut self, words: &str) {
        let begun = Instant::now();
        while !self.seen.contains(words) {
            let mut buffer = [0; 4096];
            match self.keyboard.read(&mut buffer) {
                Ok(length) => self.seen += &String::from_utf8_lossy(&buffer[..length]),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no {words:?} in {:?}", self.seen);
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it goes on: {:?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn keys_reach_the_guest_and_one_of_them_detaches() {
    let place = Place::new(&[]);
    let mut session = Session::begin(&place, &["console", "web"]);
    session.see("login");
    assert!(session.seen.contains("attached to web; Ctrl-] detaches"), "{:?}", session.seen);
    assert!(session.seen.contains("before\r\n") && !session.seen.contains("\x1b[6n"), "a replay");
    assert!(session.seen.contains("\x1b[1mlogin\x1b[0m"), "live bytes: {:?}", session.seen);
    assert!(session.is_raw());
    // What a terminal would keep for itself.
    session.press(b"\x03");
    session.see("[\x03]");
    session.press(b"\x04\x1a\x1c");
    session.see("\x1c]");
    session.press(b"\x1d");
    session.see("detached from web, which runs on");
    assert_eq!(session.end(), Some(0));
    assert!(!session.is_raw());
    assert_eq!(place.calls()[1], "console web tail=20");
}

#[test]
fn other_keys_may_detach() {
    let place = Place::new(&[]);
    let arguments = ["console", "--detach-keys", "ctrl-p,ctrl-q", "-n", "3", "web"];
    let mut session = Session::begin(&place, &arguments);
    session.see("Ctrl-p Ctrl-q detaches");
    session.see("login");
    session.press(b"\x1d");
    session.see("[\x1d]");
    session.press(b"\x10\x11");
    assert_eq!(session.end(), Some(0));
    assert_eq!(place.calls()[1], "console web tail=3");
    let ran = place.run(&["console", "--detach-keys", "ctrl-alt-del", "web"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("is no key"), "{}", ran.err);
}

#[test]
fn the_terminal_is_put_back_whatever_ends_it() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let place = Place::new(&[]);
        let mut session = Session::begin(&place, &["console", "web"]);
        session.see("login");
        assert!(session.is_raw());
        let pid = Pid::from_raw(i32::try_from(session.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(session.end(), Some(code));
        assert!(!session.is_raw(), "{signal:?}");
    }
    let place = Place::new(&[]);
    let mut session = Session::begin(&place, &["console", "web"]);
    session.see("login");
    session.press(b"die\r");
    session.see("bangerd let go of the console");
    assert_eq!(session.end(), Some(1));
    assert!(!session.is_raw());
}

#[test]
fn the_end_of_the_vm_is_told() {
    let place = Place::new(&[]);
    let mut session = Session::begin(&place, &["console", "web"]);
    session.see("login");
    session.press(b"end\r");
    session.see("web has ended");
    assert_eq!(session.end(), Some(0));
    assert!(!session.is_raw());
}

#[test]
fn a_script_gets_bytes_and_gives_bytes() {
    let place = Place::new(&[]);
    let mut command = place.banger(&["console", "web"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The key that detaches is a byte as any other here.
    child.stdin.take().unwrap().write_all(b"\x1d\xff").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"\x1b[6nbefore\r\n\x1b[1mlogin\x1b[0m\r\n[\x1d\xff]");
}
