//! What needs a whole system: each test runs in a machine of its own, which goes on from saved memory.

mod asking;
mod bad_inputs;
mod doctor;
mod editing;
mod files;
mod firecracker;
mod guest;
mod helper;
mod hygiene;
mod kernel;
mod kills;
mod limits;
mod login;
mod owning;
mod packaging;
#[expect(dead_code, reason = "the helper's own tests need more of it")]
#[path = "../../roothelper/src/server/tests/raw.rs"]
mod raw;
mod snapshot;
mod steps;
mod system;
mod times;
mod trace;
mod truth;
mod vm;

use std::process::Command;

/// What a line of shell prints; it must succeed.
fn sh(line: &str) -> String {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", line]).output().unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}: {}\n{said}{errors}", output.status);
    said.trim_end().to_owned()
}

/// A number of the environment, which the host passes on, or else another.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
