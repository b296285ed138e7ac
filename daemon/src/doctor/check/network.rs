//! passt, and what is left without it.

use banger_proto::{Check, Need};

use super::super::facts::{Facts, Program};
use super::{failed, ok, short, warning};

const NAME: (&str, &str) = ("network", "passt");

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![passt(facts)]
}

fn passt(facts: &Facts) -> Check {
    let why = "without it a guest reaches your loopback services";
    let install = facts.system.distribution.install(Need::Passt);
    let (trouble, steps) = match &facts.passt {
        Program::Works { path, version } => {
            return ok(NAME, why, format!("{} ({})", short(version), path.display()));
        }
        Program::Missing => ("not found".to_owned(), vec![install]),
        Program::Broken { path, reason } => {
            let trouble = format!("{} does not run: {reason}", path.display());
            (trouble, vec!["# install it anew".to_owned(), install])
        }
    };
    let slirp = facts.qemu_networks.is_empty() || facts.qemu_networks.iter().any(|n| n == "user");
    if slirp {
        return warning(NAME, why, format!("{trouble}; QEMU's own network is used")).remedy(steps);
    }
    let why = "a guest without a network cannot be reached";
    failed(NAME, why, format!("{trouble}, and this QEMU has no network of its own")).remedy(steps)
}
