//! A console is attached to, by several at once, and lost with bangerd but not with a reader.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::place::Place;

/// How long words may take to come; a test that waits for ever tells nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is attached, and a script.
struct Attached {
    child: Child,
    keys: ChildStdin,
}

impl Attached {
    fn to(place: &Place, arguments: &[&str]) -> Self {
        let mut command = place.owner.banger(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self { keys: child.stdin.take().unwrap(), child }
    }

    /// Reads until `words` have come.
    fn see(&mut self, words: &str) -> String {
        let output = self.child.stdout.as_mut().unwrap();
        let give_up = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(words) {
            let left = Timespec::try_from(give_up.saturating_duration_since(Instant::now()));
            let mut ready = [PollFd::new(output, PollFlags::IN)];
            let came = poll(&mut ready, Some(&left.unwrap())).unwrap() > 0;
            assert!(came, "no {words} came after {:?}", String::from_utf8_lossy(&seen));
            assert_eq!(output.read(&mut byte).unwrap(), 1, "no {words} in {seen:?}");
            seen.push(byte[0]);
        }
        String::from_utf8(seen).unwrap()
    }

    fn end(self) -> (bool, String) {
        drop(self.keys);
        let output = self.child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn several_are_attached_and_told_when_it_ends() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    let said = place.fails(&["console", "web"]);
    assert!(said.contains("web is created") && said.contains("banger start web"), "{said}");
    place.owner.ok(["start", "web"]);

    let mut first = Attached::to(&place, &["console", "web"]);
    first.see("fake guest boots");
    first.keys.write_all(b"hello\n").unwrap();
    first.see("<hello>");
    let mut second = Attached::to(&place, &["console", "-n", "0", "web"]);
    // Both may be typing before the second is attached; what it types is seen by both.
    second.keys.write_all(b"again\n").unwrap();
    assert!(!second.see("<again>").contains("boots"), "nothing of what was before");
    first.see("<again>");
    // Who leaves takes nobody along.
    second.child.kill().unwrap();
    first.keys.write_all(b"still\n").unwrap();
    first.see("<still>");
    assert!(place.owner.ok(["logs", "web"]).contains("<again>"));

    place.owner.ok(["stop", "web"]);
    let (ended_well, said) = first.end();
    assert!(ended_well, "{said}");
    assert!(said.contains("web has ended: stopped"), "{said}");
}

#[test]
fn without_bangerd_the_line_is_lost_and_the_vm_is_not() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["start", "web"]);
    let mut console = Attached::to(&place, &["console", "web"]);
    console.see("fake guest boots");
    place.kill_daemon();
    let (ended_well, said) = console.end();
    assert!(!ended_well && said.contains("attach again"), "{said}");
    let mut console = Attached::to(&place, &["console", "web"]);
    console.keys.write_all(b"back\n").unwrap();
    console.see("<back>");
    place.owner.ok(["stop", "web"]);
    assert!(console.end().0);
}

#[test]
fn a_guest_that_reads_nothing_and_a_reader_who_takes_nothing_hold_nobody_up() {
    let Some(place) = Place::with_image() else { return };
    place.mode("reads-nothing");
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["start", "web"]);
    let Attached { child, mut keys } = Attached::to(&place, &["console", "web"]);
    // More than every buffer on the way holds.
    let writer = std::thread::spawn(move || keys.write_all(&vec![b'x'; 32 << 20]));
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert_eq!(place.state("web"), "running");
    place.owner.ok(["stop", "web"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(writer.join().unwrap().is_err(), "nobody took it all");
}
