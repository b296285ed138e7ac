//! What follows from a record and the processes there are: pure.

use crate::garbage::{FoundProcess, RunsFor};
use crate::spawn::ProcessId;
use crate::store::{Phase, VmRecord};

/// The phase of a VM that cannot stay as the record has it.
pub(super) fn phase(record: &VmRecord, alive: bool) -> Option<Phase> {
    match &record.phase {
        Phase::Starting {} => Some(Phase::Failed {
            reason: "bangerd ended while it was being started: start it again".into(),
        }),
        // The guest was asked to shut down and goes on doing so.
        Phase::Stopping { runtime } if alive => Some(Phase::Running { runtime: runtime.clone() }),
        // One that has ended is noticed by its task, which sees to what it left.
        _ => None,
    }
}

/// The processes of a VM that its record does not know: started by a daemon that was
/// killed before it could write them down.
pub(super) fn strays<'a>(
    record: &VmRecord,
    processes: &'a [FoundProcess],
) -> impl Iterator<Item = &'a ProcessId> {
    let ours = RunsFor::Vm(record.id);
    // A VM that runs has its processes: those that the record names, and their walls.
    let runs = record.phase.runtime().is_some();
    processes
        .iter()
        .filter(move |process| !runs && process.runs_for == ours)
        .map(|process| &process.id)
}

#[cfg(test)]
mod tests {
    use banger_proto::VmId;

    use super::*;
    use crate::store::Runtime;
    use crate::vmm::Running;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start_ticks: 1, boot_id: "b".into() }
    }

    fn runtime() -> Runtime {
        Runtime { started_at: 1, given: None, machine: Running::sample() }
    }

    fn record(phase: Phase) -> VmRecord {
        VmRecord { phase, ..VmRecord::sample() }
    }

    #[test]
    fn only_what_cannot_stay_is_changed() {
        let after = |phase_before: Phase, alive| {
            phase(&record(phase_before), alive).map(|phase| phase.state().to_string())
        };
        let stopped = Phase::Stopped { reason: String::new() };
        assert_eq!(after(Phase::Created {}, false), None);
        assert_eq!(after(stopped, false), None);
        assert_eq!(after(Phase::Starting {}, false), Some("failed".into()));
        assert_eq!(after(Phase::Running { runtime: runtime() }, true), None);
        assert_eq!(after(Phase::Running { runtime: runtime() }, false), None);
        assert_eq!(after(Phase::Stopping { runtime: runtime() }, true), Some("running".into()));
        assert_eq!(after(Phase::Stopping { runtime: runtime() }, false), None);
    }

    #[test]
    fn a_stray_names_the_vm_and_is_in_no_record() {
        let starting = record(Phase::Starting {});
        let running_for = |pid, vm| FoundProcess {
            id: process(pid),
            program: "qemu".into(),
            started_at: 0,
            runs_for: RunsFor::Vm(vm),
            has_daemon: false,
        };
        let processes = [running_for(1, starting.id), running_for(2, VmId::random())];
        let pids =
            |record: &VmRecord| strays(record, &processes).map(|id| id.pid).collect::<Vec<_>>();
        assert_eq!(pids(&starting), [1]);
        let running = VmRecord { phase: Phase::Running { runtime: runtime() }, ..starting };
        assert!(pids(&running).is_empty());
    }
}
