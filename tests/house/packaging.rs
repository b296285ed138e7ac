//! What is in `packaging/` is read by those who will read it, as far as this machine has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_tests::{repository, root, skip};

/// What of root's power the helper has, and nothing else: `SECURITY.md` has the reasons.
const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_KILL",
    "CAP_NET_ADMIN",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
];

fn packaging(name: &str) -> PathBuf {
    repository().join("packaging").join(name)
}

/// What is behind each `key=` of a unit, comments aside.
fn directives(unit: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(packaging("systemd").join(unit)).unwrap();
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// Runs a judge; its success and all that it said.
fn judged(program: &str, words: &[&str], files: &[&Path]) -> (bool, String) {
    let output = Command::new(program)
        .args(words)
        .args(files)
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .output()
        .expect("the judge can be started");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

#[test]
fn the_unit_is_confined_more_than_those_of_its_kind() {
    if !root::has("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let unit = packaging("systemd/banger-roothelper.service");
    let words = ["security", "--offline=true", "--threshold=25", "--no-pager"];
    let (passed, said) = judged("systemd-analyze", &words, &[&unit]);
    assert!(passed, "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn the_unit_has_the_capabilities_that_have_a_reason() {
    let sets = directives("banger-roothelper.service", "CapabilityBoundingSet");
    let [set] = &sets[..] else { panic!("{sets:?}") };
    let mut found: Vec<_> = set.split(' ').collect();
    found.sort_unstable();
    assert_eq!(found, CAPABILITIES);
    assert_eq!(directives("banger-roothelper.service", "AmbientCapabilities"), [""]);
    assert_eq!(directives("banger-roothelper.service", "NoNewPrivileges"), ["yes"]);
    // Each has its word in the comment above.
    let text = fs::read_to_string(packaging("systemd/banger-roothelper.service")).unwrap();
    for capability in CAPABILITIES {
        let short = capability.trim_start_matches("CAP_");
        let reason = text.lines().any(|line| line.starts_with("#   ") && line.contains(short));
        assert!(reason, "{short} has no reason");
    }
}

#[test]
fn no_user_can_make_the_socket_fail() {
    assert_eq!(directives("banger-roothelper.socket", "TriggerLimitIntervalSec"), ["0"]);
    assert_eq!(directives("banger-roothelper.service", "StartLimitIntervalSec"), ["0"]);
    assert_eq!(directives("banger-roothelper.socket", "SocketMode"), ["0660"]);
    assert_eq!(directives("banger-roothelper.socket", "SocketGroup"), ["banger"]);
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if !root::has("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let units = ["banger-roothelper.service", "banger-roothelper.socket"].map(|name| {
        let text = fs::read_to_string(packaging("systemd").join(name)).unwrap();
        // It is not installed here.
        let text = text.replace("/usr/libexec/banger/banger-roothelper", "/bin/true");
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let files = [&*units[0], &*units[1]];
    let (_, said) = judged("systemd-analyze", &["verify", "--man=no"], &files);
    // systemd before 255 does not know the second wall; what else is said of other units is not about ours.
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("banger-roothelper") && !line.contains("'PollLimit"))
        .collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn accounts_and_folders_are_made_as_they_are_described() {
    if !root::has("systemd-sysusers") || !root::has("systemd-tmpfiles") {
        return skip("systemd-sysusers and systemd-tmpfiles are not installed");
    }
    if !rustix::process::geteuid().is_root() {
        return skip("accounts below another root are made by root");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let below = format!("--root={}", folder.path().display());
    let sysusers = packaging("sysusers.d/banger.conf");
    let (done, said) = judged("systemd-sysusers", &[&below], &[&sysusers]);
    assert!(done, "{said}");
    let tmpfiles = packaging("tmpfiles.d/banger.conf");
    let (done, said) = judged("systemd-tmpfiles", &[&below, "--create"], &[&tmpfiles]);
    assert!(done, "{said}");
    let read = |name: &str| fs::read_to_string(folder.path().join("etc").join(name)).unwrap();
    assert!(read("group").lines().any(|line| line.starts_with("banger:")), "{}", read("group"));
    let users = read("passwd");
    let worker = users.lines().find(|line| line.starts_with("banger-worker:"));
    assert!(worker.is_some_and(|line| line.ends_with("nologin")), "{users}");
    assert!(folder.path().join("run/banger").is_dir());
}

#[test]
fn the_manual_page_of_the_helper_is_sound() {
    let page = packaging("man/banger-roothelper.8");
    for (program, words) in
        [("mandoc", &["-T", "lint", "-W", "warning"][..]), ("groff", &["-man", "-ww", "-z"])]
    {
        if !root::has(program) {
            skip(&format!("{program} is not installed"));
            continue;
        }
        let (_, said) = judged(program, words, &[&page]);
        assert_eq!(said, "", "{program}");
    }
}
