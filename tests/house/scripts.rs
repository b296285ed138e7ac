//! How the scripts behind `make` are kept: read by shellcheck, and saying what they are for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use banger_tests::{repository, root, skip};

fn scripts() -> Vec<PathBuf> {
    let folder = |name| fs::read_dir(repository().join(name)).expect("the scripts are there");
    let mut found: Vec<_> = folder("scripts")
        .chain(folder("packaging"))
        .chain(folder("tests/testbed/recipe"))
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "sh"))
        .chain([repository().join(".ci/run")])
        .collect();
    found.sort();
    found
}

#[test]
fn shellcheck_has_nothing_to_say() {
    if !root::has("shellcheck") {
        return skip("shellcheck is not installed");
    }
    let output = Command::new("shellcheck")
        .arg("--external-sources")
        .args(scripts())
        .current_dir(repository())
        .output()
        .expect("shellcheck can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_script_says_first_what_it_is_for() {
    for path in scripts() {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("# "), "{} begins with {first:?}", path.display());
    }
}

#[test]
fn every_package_has_a_kind_and_a_sign() {
    let text = fs::read_to_string(repository().join("scripts/packages.list")).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let columns: Vec<_> = line.split_whitespace().collect();
        assert_eq!(columns.len(), 3, "{line}");
        assert!(["build", "run", "test", "bench"].contains(&columns[1]), "{line}");
        count += 1;
    }
    assert!(count > 5, "the list was read");
}
