//! Whether a guest really ran.

use banger_proto::{Check, CheckState};

use super::super::facts::{Facts, Program};
use super::super::proof::Proof;
use super::{failed, ok, warning};
use crate::net::Backend;

const NAME: (&str, &str) = ("proof", "a guest");

/// What the proof comes to.
pub(in super::super) fn proof(proof: &Proof, facts: &Facts) -> Check {
    let why = "started as every VM is: if this one runs, so do yours";
    match proof {
        Proof::Skipped => {
            Check::new(NAME, why, CheckState::Skipped, "not tried: --quick was given")
        }
        Proof::Impossible => Check::new(NAME, why, CheckState::Skipped, "no QEMU to try it with"),
        Proof::Ran { accelerator, network, notices, walls, took } => {
            let seconds = took.as_secs_f64();
            let walled = if walls.iter().any(|wall| wall.starts_with("bubblewrap")) {
                "in bubblewrap"
            } else {
                "without bubblewrap"
            };
            let found = format!(
                "ran in {seconds:.1} s: {}, {}, {walled}",
                accelerator.name(),
                network.name()
            );
            // passt is there and was not used: what it said counts more than its version.
            let passt = matches!(facts.passt, Program::Works { .. });
            if passt && *network != Backend::Passt {
                let reason = notices.iter().find(|notice| notice.contains("passt"));
                let reason = reason.cloned().unwrap_or_default();
                return warning(NAME, why, format!("{found}; {reason}"));
            }
            ok(NAME, why, found)
        }
        Proof::Failed { reason, log } => {
            let log = log.lines().map(str::trim).collect::<Vec<_>>().join(" | ");
            let found = if log.is_empty() || reason.contains(&log) {
                reason.clone()
            } else {
                format!("{reason} ({log})")
            };
            failed(NAME, why, found).remedy([
                "# see to what else failed here first; a VM says more:",
                "banger run --rm",
            ])
        }
    }
}
