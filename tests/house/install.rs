//! What `make install` puts below a prefix, `make uninstall` takes away.

use std::fs;
use std::path::Path;
use std::process::Command;

use banger_tests::repository;

pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn all_that_is_installed_is_uninstalled() {
    let prefix = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let installed = Command::new(repository().join("packaging/install.sh"))
        .arg(prefix.path().join("bin"))
        .arg(built)
        .output()
        .unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let found = files(prefix.path());
    for file in [
        "bin/banger",
        "bin/bangerd",
        "share/bash-completion/completions/banger",
        "share/fish/vendor_completions.d/banger.fish",
        "share/man/man1/banger-run.1",
        "share/man/man1/banger.1",
        "share/zsh/site-functions/_banger",
    ] {
        assert!(found.iter().any(|name| name == file), "{file} is not among {found:?}");
    }
    for name in found.iter().filter(|name| !name.starts_with("bin/")) {
        let text = fs::read_to_string(prefix.path().join(name)).unwrap();
        assert!(text.len() > 100, "{name} says nothing");
    }
    let uninstalled = Command::new("make")
        .arg("--silent")
        .arg(format!("PREFIX={}", prefix.path().display()))
        .arg("uninstall-programs")
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(uninstalled.status.success(), "{}", String::from_utf8_lossy(&uninstalled.stderr));
    assert_eq!(files(prefix.path()), [""; 0]);
}
