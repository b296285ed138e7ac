//! What stands around VMMs and whoever parses a tar.

use banger_proto::{Check, Need};

use super::super::facts::{Facts, Program};
use super::{ok, short, warning};

const GROUP: &str = "walls";

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![bubblewrap(facts), landlock(facts)]
}

/// A command that sets a switch of the kernel's, now and for good.
fn switch(name: &str, value: &str) -> String {
    // A file for each, which is no other's.
    let last = name.rsplit('.').next().unwrap_or(name);
    let file = format!("/etc/sysctl.d/61-banger-{last}.conf");
    format!("echo '{name} = {value}' | sudo tee {file}; sudo sysctl -p {file}")
}

fn bubblewrap(facts: &Facts) -> Check {
    let name = (GROUP, "bubblewrap");
    let why = "without it a guest that breaks out of QEMU sees your files";
    let Some(reason) = &facts.no_walls else {
        let version = match &facts.bubblewrap {
            Program::Works { path, version } => format!("{} ({})", short(version), path.display()),
            _ => "bubblewrap".to_owned(),
        };
        return ok(name, why, format!("{version}, and it works here"));
    };
    let install = facts.system.distribution.install(Need::Bubblewrap);
    let namespaces = &facts.namespaces;
    if facts.bubblewrap == Program::Missing {
        return warning(name, why, "not found").remedy([install]);
    }
    if namespaces.most == Some(0) {
        return warning(name, why, "user namespaces are switched off (max_user_namespaces is 0)")
            .remedy([switch("user.max_user_namespaces", "15000")]);
    }
    if namespaces.unprivileged_clone == Some(0) {
        return warning(
            name,
            why,
            "user namespaces are root's only (unprivileged_userns_clone is 0)",
        )
        .remedy([switch("kernel.unprivileged_userns_clone", "1")]);
    }
    if namespaces.apparmor_restricts.is_some_and(|value| value != 0) {
        // Ubuntu's own way to let bubblewrap, and nobody else, make them.
        let profile = "bwrap-userns-restrict";
        return warning(name, why, "AppArmor keeps user namespaces from bubblewrap").remedy([
            "sudo apt install apparmor-profiles".to_owned(),
            format!("sudo cp /usr/share/apparmor/extra-profiles/{profile} /etc/apparmor.d/"),
            format!("sudo apparmor_parser -r /etc/apparmor.d/{profile}"),
        ]);
    }
    let step = match &facts.system.inside {
        Some(container) => {
            format!("# let this container make user namespaces, by its settings in {container}")
        }
        None => "bwrap --unshare-user --ro-bind / / true".to_owned(),
    };
    warning(name, why, reason.clone()).remedy([step])
}

fn landlock(facts: &Facts) -> Check {
    let name = (GROUP, "Landlock");
    let why = "who unpacks an imported tar can open no file of yours";
    if facts.landlock {
        return ok(name, why, "holds");
    }
    warning(name, why, "this kernel has none, or it is switched off")
        .remedy(["# a kernel from 5.13 on, with landlock among the names in its lsm= option"])
}
