//! What may be in the program that runs as root: few crates, and those it was decided about.

use std::collections::BTreeSet;
use std::process::Command;

use banger_tests::repository;

/// Crates that the helper may be made of, itself included.
const MOST_CRATES: usize = 110;

/// What has no business in it: a client, a router, a TLS, a resolver, whole runtimes.
const NEVER: [&str; 10] = [
    "axum",
    "bangerd",
    "clap",
    "hyper-timeout",
    "nix",
    "openssl",
    "rustls",
    "ureq",
    "async-io",
    "regex",
];

#[test]
fn the_helper_is_made_of_few_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "banger-roothelper", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--offline", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo tree can be started");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<_> = text
        .lines()
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    assert!(crates.len() > 10, "the tree was read: {text}");
    assert!(crates.len() <= MOST_CRATES, "{} crates: {crates:#?}", crates.len());
    let names: BTreeSet<_> = crates.iter().filter_map(|line| line.split(' ').next()).collect();
    for name in NEVER {
        assert!(!names.contains(name), "{name} is in the root helper");
    }
}
