//! The host as such: what it is, its clock, its memory.

use banger_proto::Check;

use super::super::facts::Facts;
use super::{failed, ok, warning};
use crate::verb::admission;

const GROUP: &str = "host";
/// Seconds that clocks may differ by without a word.
const DRIFT: i64 = 120;
/// Descriptors that bangerd may come to need: a few for each VM.
const OPEN_FILES: u64 = 512;

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![system(facts), clock(facts), memory(facts), open_files(facts)]
}

fn system(facts: &Facts) -> Check {
    let name = (GROUP, "system");
    let system = &facts.system;
    let found = format!("{}, Linux {}", system.distribution.name, system.kernel);
    match system.inside.as_deref() {
        None => ok(name, "what to install is told for this distribution", found),
        Some("WSL") => ok(
            name,
            "KVM needs nested virtualization, and Windows' drives are slow",
            format!("{found}, in WSL"),
        ),
        Some(container) => ok(
            name,
            "/dev/kvm and user namespaces come from outside",
            format!("{found}, in {container}"),
        ),
    }
}

fn clock(facts: &Facts) -> Check {
    let name = (GROUP, "clock");
    let why = "guests take it over, and certificates depend on it";
    let behind = facts.clock.newest.saturating_sub(facts.clock.now);
    if behind <= DRIFT {
        return ok(name, why, "not behind what happened here before");
    }
    let behind = match behind {
        ..=7_199 => format!("{} minutes", behind / 60),
        7_200..=172_799 => format!("{} hours", behind / 3_600),
        _ => format!("{} days", behind / 86_400),
    };
    warning(name, why, format!("{behind} behind what happened here before"))
        .remedy(["sudo timedatectl set-ntp true"])
}

fn memory(facts: &Facts) -> Check {
    let name = (GROUP, "memory");
    let why = "a running VM takes what it was given, and a little more";
    let Some(memory) = facts.memory else {
        return ok(name, why, "/proc/meminfo does not tell");
    };
    let found = format!("{} MiB to spare of {} MiB", memory.available, memory.total);
    let found = match memory.swap {
        0 => found,
        swap => format!("{found}, {swap} MiB of swap"),
    };
    let wanted = facts.usual_memory;
    let less = [
        "banger ls; banger stop VM".to_owned(),
        format!("# or give VMs less than the usual {}, with --memory", wanted.typed()),
    ];
    match admission::memory_now("", wanted, Some(memory)) {
        Ok(None) => ok(name, why, found),
        Ok(Some(_)) => {
            warning(name, why, format!("{found}: a usual VM makes it swap")).remedy(less)
        }
        Err(_) => failed(name, why, format!("{found}: too little for a usual VM")).remedy(less),
    }
}

fn open_files(facts: &Facts) -> Check {
    let name = (GROUP, "open files");
    let why = "bangerd holds some for each VM and each connection";
    let limit = facts.system.open_files;
    if limit >= OPEN_FILES {
        return ok(name, why, format!("up to {limit} for a process"));
    }
    warning(name, why, format!("only {limit} for a process"))
        .remedy(["ulimit -n 1024; banger daemon stop"])
}
