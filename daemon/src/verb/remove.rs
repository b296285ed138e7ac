//! `vm rm`: discards a VM and its disks, also one whose record cannot be read.

use std::sync::Arc;

use banger_proto::{BrokenVm, Code, Refusal, Vm, VmRef};

use super::{OnHost, blocking, discard, discard_unknown, store_refusal};
use crate::context::Context;
use crate::garbage::{self, Action, RunsFor, VmProcesses};
use crate::progress::Teller;
use crate::store::VmRecord;
use crate::vm::Registry;

/// Removes everything of a VM that does not run.
pub(crate) async fn remove_vm(
    context: Arc<Context>,
    record: &VmRecord,
    teller: &Teller<Vm>,
) -> Result<(), Refusal> {
    discard(record, teller).await?;
    let id = record.id;
    let remove = blocking(move || context.vms.remove(id).map_err(|error| store_refusal(&error)));
    let discarded = teller.stage("remove_files", "", remove).await?;
    // Nobody has to wait for the filesystem to give gigabytes back.
    tokio::task::spawn_blocking(move || discarded.free());
    Ok(())
}

/// Removes a VM whose record cannot be read, with whatever runs for it.
///
/// # Errors
/// [`Code::NotFound`] when there is no such VM, or its record can be read.
pub async fn remove_broken_vm(registry: &Arc<Registry>, vm: &VmRef) -> Result<BrokenVm, Refusal> {
    let vm = registry.find_broken(vm).ok_or_else(|| {
        Refusal::new(Code::NotFound, format!("there is no VM {vm} whose record cannot be read"))
    })?;
    let context = registry.context().clone();
    let (paths, id) = (context.paths.clone(), vm.id);
    let processes = blocking(move || Ok(garbage::running(&VmProcesses::of(&paths)))).await?;
    let finder = context.programs().await;
    for process in processes.into_iter().filter(|process| process.runs_for == RunsFor::Vm(id)) {
        garbage::remove(&Action::Kill(process.id), &finder).await.on_host("end a VMM")?;
    }
    discard_unknown(id).await?;
    let discarded =
        blocking(move || context.vms.remove(id).map_err(|error| store_refusal(&error))).await?;
    registry.forget_broken(id);
    tokio::task::spawn_blocking(move || discarded.free());
    tracing::info!(vm = vm.label(), "removed a VM without a readable record");
    Ok(vm)
}
