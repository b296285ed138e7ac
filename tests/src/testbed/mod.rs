//! A virtual machine for what needs a whole system of its own: device-mapper, systemd, udev, D-Bus, polkit.
//!
//! Debian with the kernel of its backports, under QEMU's software emulation. It is booted once, and
//! its memory saved while it waits for an order; every test goes on from there in a machine of its
//! own, which is thrown away. What is slow to make lies in the cache, each part named by a hash of
//! what it is made of:
//!
//! - `recipe`: the packages, as a tar, by mmdebstrap;
//! - `image`: the disk, formatted and filled by the engine; beside it the kernel and the initial RAM disk;
//! - `state`: the memory and the devices of the machine that waits.

mod cache;
mod image;
mod machine;
mod monitor;
mod order;
mod payload;
mod recipe;
mod state;

use std::time::Duration;

pub use machine::Machine;
pub use order::{Ended, Outcome, Terminal};
pub use payload::Payload;
pub use state::start;

use crate::skip;

/// Set where a test runs in the testbed.
const INSIDE: &str = "BANGER_INSIDE";

/// How long a test may take inside, and how long where one of [`PASSED`] makes it a long one.
const LIMIT: Duration = Duration::from_secs(150);
const LONG: Duration = Duration::from_secs(7200);

/// Variables that a test finds inside, too: numbers that say how long it goes on, and from where.
const PASSED: [&str; 3] = ["BANGER_SEED", "BANGER_HELPER_KILLS", "BANGER_HELPER_SNAPSHOTS"];

/// Runs `test`, the body of the test that calls this, in a machine of its own: there this same
/// program is started again for this one test.
///
/// Panics with what the machine said when the test failed there.
pub fn inside(test: impl FnOnce()) {
    inside_with(Payload::of_this_test, test);
}

/// The same, with what is needed to install the root helper there, a client of it, and banger.
pub fn inside_with_helper(test: impl FnOnce()) {
    let payload =
        || Payload::of_this_test().with_programs(&["banger-ask", "banger"]).with_packaging();
    inside_with(payload, test);
}

/// The same, with banger itself, and a VMM that is a fake: `vmm/qemu-system-x86_64`.
pub fn inside_with_banger(fake_vmm: &std::path::Path, test: impl FnOnce()) {
    let payload = || {
        let programs = ["banger-ask", "banger", "bangerd"];
        let mut payload = Payload::of_this_test().with_programs(&programs).with_packaging();
        payload.add(fake_vmm, "vmm/qemu-system-x86_64");
        payload
    };
    inside_with(payload, test);
}

fn inside_with(payload: impl FnOnce() -> Payload, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let name = std::thread::current().name().expect("a test has a name").to_owned();
    if let Some(version) = newer_glibc() {
        return skip(&format!(
            "programs made here need glibc {version}, and the testbed has that of Debian 12"
        ));
    }
    let Some(mut machine) = start(payload()) else { return };
    let number = |name| Some((name, std::env::var(name).ok()?.parse::<u64>().ok()?));
    let passed: Vec<_> = PASSED.into_iter().filter_map(number).collect();
    let limit = if passed.is_empty() { LIMIT } else { LONG };
    let passed: String = passed.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let command =
        format!("{passed}{INSIDE}=1 /payload/test --exact {name} --nocapture --color never 2>&1");
    let outcome = machine.carry_out(&command, limit);
    for result in outcome.output.lines().filter(|line| line.starts_with("RESULT ")) {
        println!("{result}");
    }
    if let Some(reason) = outcome.output.lines().find_map(|line| line.strip_prefix("SKIPPED: ")) {
        skip(reason);
    }
    // A name that the program does not know would be no failure of its.
    let passed = outcome.output.contains("test result: ok. 1 passed");
    assert!(
        outcome.ended == Ended::Status(0) && passed,
        "{name} failed in the testbed\n{}",
        outcome.told(&machine.console())
    );
}

/// This machine's glibc, where it is newer than the testbed's: what is linked to it would not run there.
fn newer_glibc() -> Option<String> {
    let told = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let version = String::from_utf8(told).ok()?.trim().strip_prefix("glibc ")?.to_owned();
    let minor: u32 = version.strip_prefix("2.")?.parse().ok()?;
    (minor > 36).then_some(version)
}
