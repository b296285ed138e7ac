//! A VM that was started is put into a cgroup of its own, where there is to be one.

use std::sync::Arc;

use crate::cgroup::{self, Enclosed, Groups, Limits};
use crate::context::Context;
use crate::garbage::{self, RunsFor, VmProcesses};
use crate::store::VmRecord;
use crate::verb::blocking;
use crate::vmm::Running;

/// Encloses all processes of a VM that runs, and has the cgroup removed behind them.
pub(super) async fn enclose(
    context: Arc<Context>,
    groups: Result<Groups, String>,
    record: VmRecord,
    running: Running,
) -> Enclosed {
    let groups = match groups {
        Ok(groups) => groups,
        Err(why) => return Enclosed::not(&why),
    };
    let vm = record.id;
    let (memory, cpus) = (record.memory.get(), record.cpus.get().into());
    let limits = Limits::of(memory, cpus, running.accelerator, record.shares.len());
    let enclosed = blocking(move || {
        let recognise = VmProcesses::of(&context.paths);
        let of_vm = || {
            let found = garbage::running(&recognise).into_iter();
            found.filter(|one| one.runs_for == RunsFor::Vm(vm)).map(|one| one.id.pid).collect()
        };
        Ok(groups.enclose(vm, &limits, of_vm))
    });
    let enclosed = enclosed.await.unwrap_or_else(|refusal| Enclosed::not(&refusal.message));
    cgroup::remove_behind(&running.vmm);
    enclosed
}
