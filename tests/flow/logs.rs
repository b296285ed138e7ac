//! `logs -f` goes on over a cut, and ends with the VM.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use crate::place::Place;

#[test]
fn what_is_followed_survives_a_cut_and_ends_with_the_vm() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["create", "--name", "web"]);
    place.owner.ok(["start", "web"]);
    let folder = PathBuf::from(place.vm("web")["directory"].as_str().unwrap());
    let mut console = File::options().write(true).open(folder.join("console.in")).unwrap();
    let mut command = place.owner.banger(["logs", "-f", "web"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().map(Result::unwrap);
    assert!(line().unwrap().starts_with("fake guest boots"));
    console.write_all(b"before\n").unwrap();
    assert_eq!(line().unwrap(), "<before>");
    // As bangerd does it to a log that has become too long.
    File::options().write(true).open(folder.join("console.log")).unwrap().set_len(0).unwrap();
    console.write_all(b"after\n").unwrap();
    assert_eq!(line().unwrap(), "<after>");

    place.owner.ok(["stop", "web"]);
    assert_eq!(line().unwrap(), "reboot: Power down", "the last words are not lost");
    assert_eq!(line(), None);
    assert!(child.wait().unwrap().success());
    // Of a VM that has ended there is nothing to wait for.
    assert!(place.owner.ok(["logs", "-f", "web"]).ends_with("reboot: Power down\n"));
    // The next boot is a log of its own.
    place.owner.ok(["start", "web"]);
    assert!(!place.owner.ok(["logs", "web"]).contains("<after>"));
}
