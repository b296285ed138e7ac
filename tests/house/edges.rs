//! Crates use each other only along the edges that ARCHITECTURE.md draws.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// (crate, what of ours it may use). Tests are exempt and not listed.
const EDGES: &[(&str, &[&str])] = &[
    ("banger-proto", &[]),
    ("banger-ext4", &[]),
    ("banger-nss", &[]),
    // System calls without a safe form, for the daemon, which forbids the other.
    ("banger-unotify", &[]),
    // bangerd's build compiles and carries it: a file of its own, and no code of bangerd's.
    ("banger-init", &[]),
    ("banger-roothelper", &["banger-proto", "banger-ext4"]),
    ("bangerd", &["banger-proto", "banger-ext4", "banger-unotify"]),
    ("banger", &["banger-proto"]),
];

#[test]
fn crates_use_each_other_only_along_the_drawn_edges() {
    let metadata = MetadataCommand::new()
        .manifest_path(banger_tests::repository().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata answers");
    let ours: BTreeSet<_> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        if name == "banger-tests" {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the list of edges"));
            continue;
        };
        for dependency in &package.dependencies {
            let test_only = dependency.kind == DependencyKind::Development;
            if ours.contains(&dependency.name)
                && !test_only
                && !allowed.contains(&dependency.name.as_str())
            {
                wrong.push(format!("{name} must not use {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
