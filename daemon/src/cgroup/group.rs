//! The cgroups of VMs: made, filled, looked at, and removed behind their last process.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_proto::VmId;

use super::limits::Limits;
use super::scope;
use crate::spawn::{Process, ProcessId};

/// How often processes are looked for that are still outside: who is inside has its children
/// there.
const ROUNDS: usize = 10;
/// How long the last processes of a VM may take to end behind its VMM.
const ENDING: Duration = Duration::from_secs(10);

/// Where the cgroups of VMs are made.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    folder: PathBuf,
}

/// What stands around a VM that was put into a cgroup, in lines for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Enclosed {
    /// What holds.
    pub(crate) walls: Vec<String>,
    /// What does not, and why.
    pub(crate) missing: Vec<String>,
}

impl Enclosed {
    /// Nothing stands around it, for this reason.
    pub(crate) fn not(why: &str) -> Self {
        Self { walls: Vec::new(), missing: vec![format!("cgroup with limits of its own: {why}")] }
    }
}

impl Groups {
    /// Finds the place, or has it made.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn find() -> Result<Self, String> {
        Ok(Self { folder: scope::enter().await? })
    }

    /// Puts a VM's processes, which `processes` finds, into a cgroup with these limits. Blocks.
    pub(crate) fn enclose(
        &self,
        vm: VmId,
        limits: &Limits,
        processes: impl Fn() -> Vec<u32>,
    ) -> Enclosed {
        let group = self.folder.join(vm.to_string());
        match fs::create_dir(&group) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Enclosed::not(&format!("{} cannot be made: {error}", group.display()));
            }
            _ => {}
        }
        for (file, value) in limits.files() {
            // Where its controller is not delegated there is no such file: that is told below.
            let _not_delegated = fs::write(group.join(file), value);
        }
        let outside = || processes().into_iter().filter(|pid| !is_in(*pid, &group));
        for _ in 0..ROUNDS {
            let mut all_in = true;
            for pid in outside() {
                all_in = false;
                // One that ended meanwhile is missed by nobody.
                let _ended = fs::write(group.join("cgroup.procs"), pid.to_string());
            }
            if all_in {
                break;
            }
        }
        look(&group, outside().count())
    }
}

/// Whether a process is in a cgroup.
fn is_in(pid: u32, group: &Path) -> bool {
    scope::of_process(&pid.to_string()).is_some_and(|cgroup| scope::folder(&cgroup) == group)
}

/// What holds in a cgroup, as the kernel tells it.
fn look(group: &Path, outside: usize) -> Enclosed {
    let value = |file: &str| {
        let text = fs::read_to_string(group.join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let mut holds = Vec::new();
    let mut told = Enclosed::default();
    let limits = [
        ("memory.max", "memory"),
        ("pids.max", "processes and threads"),
        ("cpu.weight", "its part of the processors"),
    ];
    for (file, what) in limits {
        match (file, value(file)) {
            (_, None) => told.missing.push(format!("cgroup: no limit of {what} is delegated")),
            ("memory.max", Some(bytes)) => holds.push(format!("{} MiB of memory", bytes >> 20)),
            ("cpu.weight", Some(weight)) => holds.push(format!("{weight} parts of the processors")),
            (_, Some(count)) => holds.push(format!("{count} {what}")),
        }
    }
    if !holds.is_empty() {
        told.walls.push(format!("cgroup: at most {}", holds.join(", ")));
    }
    if outside > 0 {
        told.missing.push(format!("cgroup: {outside} of its processes are outside"));
    }
    told
}

/// Removes the cgroup that a VMM is in, if it is one of ours, when the VMM has ended. Where this
/// daemon ends before, it goes with its scope.
pub(crate) fn remove_behind(vmm: &ProcessId) {
    let Some(cgroup) = scope::of_process(&vmm.pid.to_string()) else { return };
    let Some((above, name)) = cgroup.rsplit_once('/') else { return };
    let in_scope = above.rsplit('/').next().is_some_and(is_scope);
    let Ok(Some(process)) = Process::find(vmm) else { return };
    if !in_scope || name.parse::<VmId>().is_err() {
        return;
    }
    let group = scope::folder(&cgroup);
    tokio::spawn(async move {
        let _ended = process.ended().await;
        // The network and the file servers end behind their VMM.
        let removed = async {
            while let Err(error) = fs::remove_dir(&group) {
                if error.kind() == ErrorKind::NotFound {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(ENDING, removed).await.is_err() {
            tracing::warn!(group = %group.display(), "a VM's cgroup stays: processes are in it");
        }
    });
}

fn is_scope(name: &str) -> bool {
    let number = name.strip_prefix("banger-").and_then(|rest| rest.strip_suffix(".scope"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_what_the_kernel_says() {
        let folder = tempfile::tempdir().unwrap();
        let told = look(folder.path(), 0);
        assert_eq!((told.walls.len(), told.missing.len()), (0, 3), "{told:?}");
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("memory.max", "1610612736\n");
        write("pids.max", "max\n");
        write("cpu.weight", "200\n");
        let told = look(folder.path(), 2);
        assert_eq!(told.walls, ["cgroup: at most 1536 MiB of memory, 200 parts of the processors"]);
        assert_eq!(
            told.missing,
            [
                "cgroup: no limit of processes and threads is delegated",
                "cgroup: 2 of its processes are outside"
            ]
        );
    }

    #[test]
    fn only_a_scope_of_ours_is_one() {
        assert!(is_scope("banger-17.scope"));
        for other in ["banger-.scope", "banger-1x.scope", "session-3.scope", "banger-1.service"] {
            assert!(!is_scope(other), "{other}");
        }
    }

    #[test]
    fn where_nothing_is_delegated_that_is_what_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups { folder: folder.path().join("not there") };
        let limits = Limits { memory: 1, tasks: 1, weight: 1 };
        let told = groups.enclose(VmId::random(), &limits, Vec::new);
        assert!(told.walls.is_empty() && told.missing[0].contains("cannot be made"), "{told:?}");
    }
}
