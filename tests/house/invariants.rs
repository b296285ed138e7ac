//! The invariants of ARCHITECTURE.md name tests, and these exist.

use std::fs;

use banger_tests::repository;

use crate::sources::sources;

/// What stands in backquotes and reads like the name of a test.
fn named_tests(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter(|name| name.matches('_').count() >= 2)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect()
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, invariants) = text.split_once("## Invariants").expect("the chapter is there");
    let names = named_tests(invariants);
    assert!(names.len() > 15, "only {names:?} were found");
    let code: String = sources().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let missing: Vec<_> =
        names.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn architecture_stays_under_three_pages() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= 150, "{lines} lines: leave something out");
}
