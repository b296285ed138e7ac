//! The root helper, where an administrator installed one: what keeps it from this user.

mod bridge;
mod name_service;
mod polkit;
#[cfg(test)]
mod tests;
mod units;

use banger_proto::roothelper::{Facility, FacilityKind, HelperDescription};
use banger_proto::{Check, CheckState};

use super::super::facts::{Facts, FileState, Helper, Membership, Role, Shipped, Told};
use super::{failed, ok, warning};
use crate::figure;

const GROUP: &str = "root helper";
/// Bytes that are to be left of a quota and of the disk.
const ROOM: u64 = 1 << 30;
/// What brings the wall that the helper's worker stands behind.
const LANDLOCK: &str = "# landlock before the names in `cat /sys/kernel/security/lsm`, as the kernel's option lsm=, and a reboot";
/// What brings this version's files.
const INSTALL: &str = "make build && sudo make install   # in banger's sources, of this version";

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    let Some(helper) = &facts.helper else {
        let why = "an administrator may install one; no VM needs it";
        let found = "none: VMs run rootless, and that is all there is to it";
        return vec![ok((GROUP, "installed"), why, found)];
    };
    vec![
        files(helper),
        units::check(helper),
        group(facts, helper),
        polkit::check(helper),
        udev(helper),
        bridge::check(helper),
        name_service::check(helper, &facts.builds.user),
        answer(helper),
        room(helper),
    ]
}

/// What keeps the helper from this user: new VMs are rootless then, and those that were made
/// with it do not run.
fn lacking(helper: &Helper, name: &str, why: &str, found: impl Into<String>) -> Check {
    match helper.needed_by {
        0 => warning((GROUP, name), why, found),
        _ => failed((GROUP, name), why, found),
    }
}

/// What is wrong with files of these roles, in words.
fn wrong(helper: &Helper, roles: &[Role]) -> Vec<String> {
    let words = |Shipped { path, role, state }: &Shipped| {
        let path = path.display();
        let what = match state {
            _ if !roles.contains(role) => return None,
            FileState::Same | FileState::Unseen => return None,
            FileState::Missing => format!("{path} is missing"),
            FileState::Off => format!("{path} is turned off"),
            FileState::Differs => format!("{path} is of another version, or was changed"),
        };
        Some(what)
    };
    helper.files.iter().filter_map(words).collect()
}

fn files(helper: &Helper) -> Check {
    let why = "with a part of it missing new VMs run rootless";
    let wrong = wrong(helper, &[Role::Program, Role::Polkit]);
    if wrong.is_empty() {
        let found = match helper.needed_by {
            0 => "whole, as this version ships it".to_owned(),
            1 => "whole, as this version ships it; 1 VM runs with it".to_owned(),
            vms => format!("whole, as this version ships it; {vms} VMs run with it"),
        };
        return ok((GROUP, "installed"), why, found);
    }
    let is_broken = |file: &Shipped| {
        file.role != Role::Udev && matches!(file.state, FileState::Missing | FileState::Off)
    };
    let found = wrong.join("; ");
    // What differs may well do.
    match helper.files.iter().any(is_broken) {
        true => lacking(helper, "installed", why, found).remedy([INSTALL]),
        false => warning((GROUP, "installed"), why, found).remedy([INSTALL]),
    }
}

fn group(facts: &Facts, helper: &Helper) -> Check {
    let name = "group";
    let why = "its members may ask the root helper";
    let user = &facts.builds.user;
    let lacks = |found: &str, steps: &[String]| lacking(helper, name, why, found).remedy(steps);
    match helper.membership {
        Membership { here: true, in_daemon: Some(false), .. } => lacks(
            "you are in the group `banger`, and the bangerd that runs is older than that",
            &["banger daemon stop".to_owned()],
        ),
        Membership { here: true, .. } => ok((GROUP, name), why, "you are in the group `banger`"),
        Membership { exists: false, .. } => {
            lacks("there is no group `banger`", &["sudo systemd-sysusers banger.conf".to_owned()])
        }
        Membership { joined: true, .. } => lacks(
            "you are in the group `banger`, and this login is older than that",
            &[
                "banger daemon stop".to_owned(),
                "# then log out, of all sessions, and in".to_owned(),
            ],
        ),
        _ => lacks(
            "you are not in the group `banger`",
            &[format!("sudo usermod -aG banger {user}"), "# then log out and in".to_owned()],
        ),
    }
}

fn udev(helper: &Helper) -> Check {
    let name = "udev rules";
    let why = "they keep this host's hands off what guests write";
    let wrong = wrong(helper, &[Role::Udev]);
    let rules = || helper.files.iter().filter(|file| file.role == Role::Udev);
    if wrong.is_empty() {
        let paths: Vec<_> = rules().map(|file| file.path.display().to_string()).collect();
        return ok((GROUP, name), why, paths.join(", "));
    }
    // Another file before ours: only its owner knows what for.
    let own = |file: &&Shipped| {
        file.path.starts_with("/etc") && matches!(file.state, FileState::Off | FileState::Differs)
    };
    let mut steps: Vec<_> =
        rules().filter(own).map(|file| format!("sudo rm {}", file.path.display())).collect();
    if steps.is_empty() {
        steps.push(INSTALL.to_owned());
    }
    steps.push("sudo udevadm control --reload".to_owned());
    lacking(helper, name, why, wrong.join("; ")).remedy(steps)
}

/// What the helper itself says.
fn answer(helper: &Helper) -> Check {
    let name = "answer";
    let why = "what it finds of the kernel, which only root can see";
    let description = match &helper.told {
        Told::NotAsked => {
            let found = "not asked: that would start it";
            return Check::new((GROUP, name), why, CheckState::Skipped, found);
        }
        Told::Refused(refusal) => {
            // What is told above already needs no second word.
            if !helper.membership.here || !units::is_open(helper) {
                let found = "it cannot be asked: see above";
                return Check::new((GROUP, name), why, CheckState::Skipped, found);
            }
            let words: Vec<_> =
                std::iter::once(&refusal.message).chain(&refusal.chain).cloned().collect();
            let hint = match refusal.hint.is_empty() {
                true => "sudo journalctl --unit banger-roothelper --lines 20".to_owned(),
                false => format!("# {}", refusal.hint),
            };
            let found = words.join(": ").replace('\n', " ");
            return lacking(helper, name, why, found).remedy([hint]);
        }
        Told::Said { description, .. } => description,
    };
    let HelperDescription { version, kernel, facilities, .. } = &**description;
    let missing: Vec<_> = facilities.iter().filter(|facility| !facility.available).collect();
    if !missing.is_empty() {
        let found: Vec<_> = missing.iter().map(|facility| facility.found.clone()).collect();
        let steps = missing.iter().map(|facility| mend(facility));
        return lacking(helper, name, why, found.join("; ")).remedy(steps);
    }
    let own = env!("CARGO_PKG_VERSION");
    if version != own {
        let found = format!("it is banger-roothelper {version}, and this is bangerd {own}");
        return warning((GROUP, name), why, found)
            .remedy([INSTALL, "sudo systemctl stop banger-roothelper.service"]);
    }
    ok((GROUP, name), why, format!("{version}; Linux {kernel} has device-mapper, loops and taps"))
}

fn mend(facility: &Facility) -> String {
    match facility.kind {
        FacilityKind::Kernel => "# a newer kernel: Debian 12 has one in its backports",
        FacilityKind::DeviceMapper => "sudo modprobe dm_snapshot",
        FacilityKind::Loop => "sudo modprobe loop",
        FacilityKind::Tun => "sudo modprobe tun",
        FacilityKind::UdevRules => INSTALL,
        FacilityKind::Landlock => LANDLOCK,
        FacilityKind::Overlays => "sudo journalctl --unit banger-roothelper --lines 20",
    }
    .to_owned()
}

/// Room for what guests write.
fn room(helper: &Helper) -> Check {
    let name = "overlays";
    let why = "what guests write; a full disk ends their snapshots for good";
    let Told::Said { description, .. } = &helper.told else {
        return Check::new(
            (GROUP, name),
            why,
            CheckState::Skipped,
            "the root helper was not asked",
        );
    };
    let (limits, usage) = (&description.limits, &description.usage);
    let (used, quota) = (usage.overlay_bytes, limits.overlay_quota_bytes);
    let found = format!(
        "{} of {} used; the disk has {} free",
        figure::bytes(used),
        figure::bytes(quota),
        figure::bytes(usage.overlay_free_bytes)
    );
    let rm = "banger ls; banger rm VM".to_owned();
    if usage.overlay_free_bytes < ROOM {
        let step = "df -h /var/lib/banger   # and make room there".to_owned();
        return warning((GROUP, name), why, found).remedy([step, rm]);
    }
    if quota.saturating_sub(used) < ROOM {
        let step = "# or ask for a larger `overlays` in /etc/banger/roothelper.toml".to_owned();
        return warning((GROUP, name), why, found).remedy([rm, step]);
    }
    ok((GROUP, name), why, found)
}
