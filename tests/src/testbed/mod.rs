//! A virtual machine for what needs a whole system of its own: device-mapper, systemd, udev, D-Bus, polkit.
//!
//! Debian with the kernel of its backports, under QEMU's software emulation. It is booted once, and
//! its memory saved while it waits for an order; every test goes on from there in a machine of its
//! own, which is thrown away. What is slow to make lies in the cache, each part named by a hash of
//! what it is made of:
//!
//! - `emulator`: the QEMU that runs it;
//! - `recipe`: the packages, as a tar, by mmdebstrap;
//! - `image`: the disk, formatted and filled by the engine; beside it the kernel and the initial RAM disk;
//! - `state`: the memory and the devices of the machine that waits, as it booted and, once a build, with
//!   the root helper installed;
//! - `guests`: images for VMs of its own, which have KVM there: the processor that is emulated has AMD's SVM.

mod cache;
mod emulator;
mod guests;
mod image;
mod machine;
mod monitor;
mod order;
mod overlay;
mod payload;
mod recipe;
mod state;

use std::path::Path;
use std::time::Duration;

pub use guests::GuestImage;
pub use machine::Machine;
pub use order::{Ended, Outcome, Terminal};
pub use payload::Payload;
pub use state::{Testbed, start};

use crate::skip;

/// Set where a test runs in the testbed: how often that machine has been reset.
const INSIDE: &str = "BANGER_INSIDE";
/// What a test prints that resets its machine on purpose.
const RESET: &str = "RESET";

/// How long a test may take inside, and how long where one of [`PASSED`] makes it a long one.
const LIMIT: Duration = Duration::from_secs(1400);
const LONG: Duration = Duration::from_secs(7200);

/// Variables that a test finds inside, too: numbers that say how long it goes on, and from where.
const PASSED: [&str; 9] = [
    "BANGER_SEED",
    "BANGER_HELPER_KILLS",
    "BANGER_HELPER_SNAPSHOTS",
    "BANGER_STEP_KILLS",
    "BANGER_PARALLEL_ROUNDS",
    "BANGER_PARALLEL_VMS",
    "BANGER_VM_KILLS",
    RESETS,
    "BANGER_ROUNDS",
];
const RESETS: &str = "BANGER_VM_RESETS";

/// Runs `test`, the body of the test that calls this, in a machine of its own: there this same
/// program is started again for this one test.
///
/// Panics with what the machine said when the test failed there.
pub fn inside(test: impl FnOnce()) {
    inside_with(Payload::of_this_test, test);
}

/// The same, with what is needed to install the root helper there.
pub fn inside_with_packaging(test: impl FnOnce()) {
    let payload =
        || Payload::of_this_test().with_programs(&["banger-ask", "banger"]).with_packaging();
    inside_with(payload, test);
}

/// The same where the root helper is installed, its socket is open, ann is of its group, and
/// banger's programs are in `/payload/bin`.
pub fn inside_with_helper(test: impl FnOnce()) {
    inside_with(|| Payload::of_this_test().on_prepared(), test);
}

/// The same, with a VMM that is a fake: `vmm/qemu-system-x86_64`.
pub fn inside_with_banger(fake: &Path, test: impl FnOnce()) {
    inside_with_fake(fake, "vmm/qemu-system-x86_64", test);
}

/// The same with a fake of Firecracker, `vmm/firecracker`, and the real QEMU.
pub fn inside_with_fake_firecracker(fake: &Path, test: impl FnOnce()) {
    inside_with_fake(fake, "vmm/firecracker", test);
}

/// A fake under its name there, and the guest's end of a tap that fakes have in common.
fn inside_with_fake(fake: &Path, name: &str, test: impl FnOnce()) {
    let payload = || {
        let mut payload = Payload::of_this_test().on_prepared();
        payload.add(fake, name);
        for beside in ["wire.py", "probe.py"] {
            payload.add(&fake.with_file_name(beside), &format!("vmm/{beside}"));
        }
        payload
    };
    inside_with(payload, test);
}

/// The same with the Firecracker that `BANGER_FIRECRACKER` names, which no package of the testbed's
/// has, and these images on `/dev/vdc`; without one the test is skipped.
pub fn inside_with_firecracker(images: &[GuestImage], test: impl FnOnce()) {
    let named = std::env::var_os("BANGER_FIRECRACKER");
    if named.is_none() && std::env::var_os(INSIDE).is_none() {
        return skip("BANGER_FIRECRACKER names no Firecracker, which Debian has no package of");
    }
    let payload = || {
        let mut payload = Payload::of_this_test().on_prepared().with_guests(images);
        payload.add(Path::new(&named.unwrap_or_default()), "vmm/firecracker");
        payload
    };
    inside_with(payload, test);
}

/// The same, with a real VMM, and these images on `/dev/vdc`.
pub fn inside_with_guests(images: &[GuestImage], test: impl FnOnce()) {
    inside_with(|| Payload::of_this_test().on_prepared().with_guests(images), test);
}

fn inside_with(payload: impl FnOnce() -> Payload, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    if let Some(testbed) = testbed(payload)
        && let Some(mut machine) = testbed.start()
    {
        let outcome = order(&mut machine, 0);
        judge(&outcome, &machine);
    }
}

/// The same as [`inside_with_guests`] in a machine that the test may [`reset`]: then it boots again
/// with its disk, and the test is started again. It is told how often it was.
pub fn inside_with_resets(images: &[GuestImage], test: impl FnOnce(u64)) {
    if let Some(times) = std::env::var_os(INSIDE) {
        return test(times.to_str().and_then(|times| times.parse().ok()).expect("a number"));
    }
    let payload = || Payload::of_this_test().on_prepared().with_guests(images);
    let Some(testbed) = testbed(payload) else { return };
    let overlay = tempfile::NamedTempFile::new_in("/var/tmp").expect("/var/tmp can be written");
    let Some(mut machine) = testbed.start_into(overlay.path()) else { return };
    for times in 0.. {
        let outcome = order(&mut machine, times);
        let on_purpose = outcome.output.lines().any(|line| line == RESET);
        if !(on_purpose && outcome.ended == Ended::Crashed) {
            return judge(&outcome, &machine);
        }
        let Some(next) = testbed.boot(overlay.path()) else { return };
        machine = next;
    }
}

/// Resets the machine that a test runs in, at once: nothing is written before that.
pub fn reset() -> ! {
    println!("\n{RESET}");
    // What is said has left the machine before it goes.
    std::thread::sleep(Duration::from_millis(300));
    loop {
        let _going = std::fs::write("/proc/sysrq-trigger", "b");
    }
}

/// Machines for the test that calls this; `None`, with the skip noted, where there can be none.
fn testbed(payload: impl FnOnce() -> Payload) -> Option<Testbed> {
    if let Some(version) = newer_glibc() {
        skip(&format!(
            "programs made here need glibc {version}, and the testbed has that of Debian 12"
        ));
        return None;
    }
    Testbed::new(payload())
}

fn name() -> String {
    std::thread::current().name().expect("a test has a name").to_owned()
}

/// Has a machine run the test that calls this.
fn order(machine: &mut Machine, times: u64) -> Outcome {
    let number = |name| Some((name, std::env::var(name).ok()?.parse::<u64>().ok()?));
    let passed: Vec<_> = PASSED.into_iter().filter_map(number).collect();
    let limit = if passed.is_empty() { LIMIT } else { LONG };
    let passed: String = passed.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let name = name();
    let command = format!(
        "{passed}{INSIDE}={times} /payload/test --exact {name} --nocapture --color never 2>&1"
    );
    machine.carry_out(&command, limit)
}

/// Passes on what a test said, and panics when it failed.
fn judge(outcome: &Outcome, machine: &Machine) {
    for result in outcome.output.lines().filter_map(|line| said(line, "RESULT ")) {
        println!("RESULT {result}");
    }
    if let Some(reason) = outcome.output.lines().find_map(|line| said(line, "SKIPPED: ")) {
        skip(reason);
    }
    // A name that the program does not know would be no failure of its.
    let passed = outcome.output.contains("test result: ok. 1 passed");
    assert!(
        outcome.ended == Ended::Status(0) && passed,
        "{} failed in the testbed\n{}",
        name(),
        outcome.told(&machine.console())
    );
}

/// What a line says after this word: where there is one processor, the first line of a test comes behind its name.
fn said<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let line = match line.strip_prefix("test ") {
        Some(named) => named.split_once(" ... ")?.1,
        None => line,
    };
    line.strip_prefix(word)
}

/// This machine's glibc, where it is newer than the testbed's: what is linked to it would not run there.
fn newer_glibc() -> Option<String> {
    let told = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let version = String::from_utf8(told).ok()?.trim().strip_prefix("glibc ")?.to_owned();
    let minor: u32 = version.strip_prefix("2.")?.parse().ok()?;
    (minor > 36).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_a_test_says_first_is_heard_too() {
        assert_eq!(said("RESULT 5 of 5", "RESULT "), Some("5 of 5"));
        assert_eq!(said("test a::b ... RESULT 5 of 5", "RESULT "), Some("5 of 5"));
        assert_eq!(said("test a::b ... SKIPPED: no kvm", "SKIPPED: "), Some("no kvm"));
        assert_eq!(said("test a::b ... ok", "RESULT "), None);
        assert_eq!(said("it says RESULT 5", "RESULT "), None);
    }
}
