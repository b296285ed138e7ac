//! The walls around the import worker: it parses what somebody else wrote.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus,
    Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Largest memory of the worker in bytes; a million folders take it a tenth of that.
const MEMORY: u64 = 1 << 30;

/// Shuts everything that the worker does not need: files, sockets, other processes. It
/// goes on with the descriptors that it has. Returns the walls that hold, and those that
/// this kernel does not give.
pub(super) fn confine(largest_file: u64) -> (Vec<String>, Vec<String>) {
    let mut walls = Vec::new();
    let mut missing = Vec::new();
    let mut note = |name: &str, holds: bool| {
        (if holds { &mut walls } else { &mut missing }).push(name.to_owned());
    };
    let limit = |resource, value| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).is_ok()
    };
    let limits = [
        limit(Resource::Core, 0),
        limit(Resource::Nofile, 16),
        limit(Resource::Nproc, 0),
        limit(Resource::As, MEMORY),
        limit(Resource::Fsize, largest_file),
    ];
    note("limits on memory, files and processes", limits.iter().all(|set| *set));
    let quiet =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    note("not dumpable", quiet.is_ok());
    let status = landlock();
    note("no_new_privs", status.as_ref().is_some_and(|status| status.no_new_privs));
    note(
        "no file can be opened (landlock)",
        status.is_some_and(|status| status.ruleset != RulesetStatus::NotEnforced),
    );
    (walls, missing)
}

/// Whether this kernel has Landlock: a set of rules that it must know is made, and not
/// enforced on anybody.
pub(crate) fn has_landlock() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

/// Takes every right to files, to TCP and to other processes away, as far as this kernel
/// knows of them. No rule gives any back.
fn landlock() -> Option<landlock::RestrictionStatus> {
    let newest = ABI::V9;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(newest)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(newest)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use landlock::LandlockStatus;

    use super::*;

    const INSIDE: &str = "BANGER_TEST_CONFINED";

    /// Runs in a process of its own, which it shuts in for good.
    #[test]
    fn inside() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        let (walls, missing) = confine(1 << 20);
        let opened = std::fs::File::open("/etc/passwd").is_ok();
        let listed = std::fs::read_dir("/").is_ok();
        let made = std::fs::File::create("/tmp/banger-test-confined").is_ok();
        let listens = std::net::TcpListener::bind(("127.0.0.1", 0)).is_ok();
        let started = Command::new("/bin/true").spawn().is_ok();
        let connects = std::net::TcpStream::connect(("127.0.0.1", 9)).unwrap_err().kind();
        let connects = connects != std::io::ErrorKind::PermissionDenied;
        let parent = rustix::process::getppid().unwrap();
        let signals = rustix::process::test_kill_process(parent).is_ok();
        println!("walls {walls:?}\nmissing {missing:?}");
        println!("opened {opened} listed {listed} made {made} listens {listens} started {started}");
        println!("connects {connects}");
        let scoped = landlock().is_some_and(|status| {
            matches!(status.landlock, LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V6)
        });
        println!("signals {}", signals && scoped);
    }

    #[test]
    fn nothing_can_be_opened_made_or_started_from_inside() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "image::confine::tests::inside", "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("\"no_new_privs\""), "{said}");
        let line = |word: &str| {
            said.lines().find(|line| line.starts_with(word)).expect("it tells its walls").to_owned()
        };
        if !line("walls").contains("landlock") {
            // This kernel has none: that is said, and is all that can be asked.
            assert!(line("missing").contains("landlock"), "{said}");
            return;
        }
        let all = "opened false listed false made false listens false started false";
        assert!(said.contains(all), "{said}");
        assert!(said.contains("connects false") && said.contains("signals false"), "{said}");
    }
}
