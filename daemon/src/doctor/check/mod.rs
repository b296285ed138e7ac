//! What follows from the facts: a subject a file, all of it pure.

mod builds;
mod helper;
mod host;
mod network;
mod proof;
mod shares;
mod state;
mod storage;
#[cfg(test)]
mod tests;
mod virtualization;
mod walls;

use banger_proto::{Check, CheckState};

pub(super) use proof::proof;

use super::facts::Facts;

/// All checks, in the order in which people read them.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let subjects: [fn(&Facts) -> Vec<Check>; 9] = [
        host::check,
        virtualization::check,
        network::check,
        walls::check,
        helper::check,
        storage::check,
        state::check,
        shares::check,
        builds::check,
    ];
    subjects.iter().flat_map(|subject| subject(facts)).collect()
}

/// A check that found nothing to do.
fn ok(name: (&str, &str), why: &str, found: impl Into<String>) -> Check {
    Check::new(name, why, CheckState::Ok, found)
}

/// A check that found something that VMs run without.
fn warning(name: (&str, &str), why: &str, found: impl Into<String>) -> Check {
    Check::new(name, why, CheckState::Warning, found)
}

/// A check that found something that VMs do not run without.
fn failed(name: (&str, &str), why: &str, found: impl Into<String>) -> Check {
    Check::new(name, why, CheckState::Failed, found)
}

/// The number in what a program says of its version, or all that it says.
fn short(version: &str) -> &str {
    let number = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_digit());
    version.split_whitespace().find(number).unwrap_or(version)
}
