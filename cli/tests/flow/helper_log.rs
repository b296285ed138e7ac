//! `banger helper log`: what is asked of the journal, and what is made of its answer.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::place::Place;

/// An entry as `journalctl --output=json` prints it.
pub(crate) const ENTRY: &str = r#"{"__REALTIME_TIMESTAMP":"1763731512000123","BANGER_DECISION":"applied","BANGER_VERB":"WriteExt4Files","BANGER_PID":"77","BANGER_VM":"67e55044-10b1-426f-9247-bb680e5fe0c8","BANGER_DURATION_USEC":"2345"}"#;

impl Place {
    /// A journal that holds these lines; or that says this and fails.
    pub(crate) fn journal(&self, lines: &[&str], failure: &str) {
        let path = self.programs().join("journalctl");
        let says: String = lines.iter().map(|line| format!("printf '%s\\n' '{line}'\n")).collect();
        let fails = if failure.is_empty() {
            String::new()
        } else {
            format!("echo '{failure}' >&2; exit 1\n")
        };
        let asked = self.home().join("asked");
        let script = format!("#!/bin/sh\necho \"$*\" >'{}'\n{says}{fails}", asked.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn entries_of_this_user_alone_that_the_helper_wrote_are_asked_for_and_shown() {
    let place = Place::new(&[]);
    let harmful = ENTRY.replace("applied", r"\u001b[2Japplied\nx");
    place.journal(&[ENTRY, "nonsense", &harmful], "");
    let ran = place.run(&["helper", "log", "--lines", "5"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let rows: Vec<_> = ran.out.lines().collect();
    assert_eq!(rows.len(), 3, "{}", ran.out);
    assert!(rows[1].contains("applied") && rows[1].contains("WriteExt4Files"), "{}", ran.out);
    assert!(rows[1].starts_with("2025-11-21 13:25:12 UTC"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'));
    let asked = fs::read_to_string(place.home().join("asked")).unwrap();
    for word in ["--system", "--lines=5", "_SYSTEMD_UNIT=banger-roothelper.service", "_UID=0"] {
        assert!(asked.contains(word), "{asked}");
    }
    let uid = fs::metadata(place.home()).map(|home| std::os::unix::fs::MetadataExt::uid(&home));
    assert!(asked.trim_end().ends_with(&format!("BANGER_UID={}", uid.unwrap())), "{asked}");
}

#[test]
fn a_journal_that_is_not_there_is_told_with_its_words() {
    let place = Place::new(&[]);
    place.journal(&[], "No journal files were found.");
    let ran = place.run(&["helper", "log"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("because: No journal files were found."), "{}", ran.err);
    assert!(ran.err.contains("try: "), "{}", ran.err);
}
