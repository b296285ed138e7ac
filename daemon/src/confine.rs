//! The walls around a worker of ours: it parses what somebody else wrote.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Largest memory of a worker in bytes; an import of a million folders takes a tenth of that.
const MEMORY: u64 = 1 << 30;

/// What a worker needs beside the descriptors that it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs<'a> {
    /// Bytes of the largest file that it writes; none for no limit.
    pub(crate) largest_file: Option<u64>,
    /// Descriptors that it has open at once.
    pub(crate) descriptors: u64,
    /// A folder that it works in.
    pub(crate) folder: Option<(BorrowedFd<'a>, Work)>,
    /// Ports of TCP that it connects to.
    pub(crate) connects: &'a [u16],
}

/// What is done in a folder and everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// It is read.
    Read,
    /// Files, folders and links are made.
    Make,
}

impl Work {
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            Self::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Self::Make => {
                AccessFs::MakeReg
                    | AccessFs::MakeDir
                    | AccessFs::MakeSym
                    | AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::ReadDir
            }
        }
    }
}

/// Shuts everything that a worker does not need: files, sockets, other processes. It
/// goes on with the descriptors that it has. Returns the walls that hold, and those that
/// this kernel does not give.
pub(crate) fn confine(needs: &Needs<'_>) -> (Vec<String>, Vec<String>) {
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
        limit(Resource::Nofile, needs.descriptors),
        limit(Resource::Nproc, 0),
        limit(Resource::As, MEMORY),
        needs.largest_file.is_none_or(|bytes| limit(Resource::Fsize, bytes)),
    ];
    note("limits on memory, files and processes", limits.iter().all(|set| *set));
    let quiet =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    note("not dumpable", quiet.is_ok());
    let status = landlock(needs.folder, needs.connects);
    note("no_new_privs", status.as_ref().is_some_and(|status| status.no_new_privs));
    note(
        if needs.folder.is_none() {
            "no file can be opened (landlock)"
        } else {
            "no file outside of one folder can be opened (landlock)"
        },
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
/// knows of them; one rule gives back what is done in the folder, and one each port that it
/// connects to.
fn landlock(
    folder: Option<(BorrowedFd<'_>, Work)>,
    connects: &[u16],
) -> Option<landlock::RestrictionStatus> {
    let newest = ABI::V9;
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(newest)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(newest)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| {
            let rules = folder.map(|(folder, work)| {
                Ok::<_, RulesetError>(PathBeneath::new(folder, work.rights()))
            });
            let ports = connects
                .iter()
                .map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
            ruleset.add_rules(rules)?.add_rules(ports)
        })
        .and_then(landlock::RulesetCreated::restrict_self)
        .ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use std::os::fd::AsFd;

    use landlock::LandlockStatus;

    use super::*;

    const INSIDE: &str = "BANGER_TEST_CONFINED";
    const FOLDER: &str = "BANGER_TEST_FOLDER";

    /// Runs in a process of its own, which it shuts in for good.
    #[test]
    fn inside() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        let given = std::env::var_os(FOLDER).map(std::path::PathBuf::from);
        let folder = given.as_ref().map(|path| std::fs::File::open(path).unwrap());
        let folder = folder.as_ref().map(|folder| (folder.as_fd(), Work::Make));
        let needs = Needs { largest_file: Some(1 << 20), descriptors: 16, folder, connects: &[] };
        let (walls, missing) = confine(&needs);
        if let Some(path) = given {
            let made = std::fs::create_dir(path.join("a")).is_ok()
                && std::fs::write(path.join("a/b"), "x").is_ok();
            println!("inside {made} read {}", std::fs::read(path.join("a/b")).is_ok());
        }
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
        let scoped = landlock(None, &[]).is_some_and(|status| {
            matches!(status.landlock, LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V6)
        });
        println!("signals {}", signals && scoped);
    }

    #[test]
    fn in_one_folder_things_are_made_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "confine::tests::inside", "--nocapture"])
            .env(INSIDE, "1")
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if said.contains("(landlock)") && !said.contains("missing []") {
            return;
        }
        assert!(said.contains("inside true read false"), "{said}");
        assert!(said.contains("opened false listed false made false"), "{said}");
    }

    #[test]
    fn nothing_can_be_opened_made_or_started_from_inside() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "confine::tests::inside", "--nocapture"])
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
