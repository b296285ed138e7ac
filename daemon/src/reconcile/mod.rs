//! What a daemon does with what an earlier one left: records and processes -> actions.

mod decide;
mod processes;

use std::sync::Arc;

use crate::spawn::Process;
use crate::store::{VmRecord, sweep};
use crate::vm::Registry;

/// Sweeps what was left half made, ends processes of VMs that no record knows of, and
/// begins the task of every VM.
pub async fn take_over(registry: &Arc<Registry>) {
    let context = registry.context();
    // Found before anybody can begin something new; gigabytes may have to be given back.
    let mut unfinished = context.vms.unfinished();
    unfinished.extend(context.images.unfinished());
    tokio::task::spawn_blocking(move || sweep(&unfinished));
    let (records, broken) = match context.vms.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "cannot list the VMs");
            return;
        }
    };
    for error in broken {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot read the record of a VM");
    }
    let processes = if records.is_empty() { Vec::new() } else { processes::ours() };
    for mut record in records {
        for stray in decide::strays(&record, &processes) {
            tracing::warn!(vm = %record.name, pid = stray.pid, "ending a process nobody knows of");
            if let Ok(Some(process)) = Process::find(stray)
                && let Err(error) = process.kill().await
            {
                tracing::error!(%error, "cannot end it");
            }
        }
        if let Some(phase) = decide::phase(&record, is_alive(&record)) {
            record.phase = phase;
            if let Err(error) = context.vms.save(&record) {
                tracing::error!(vm = %record.name, %error, "cannot save a record");
            }
        }
        registry.adopt(record);
    }
}

fn is_alive(record: &VmRecord) -> bool {
    record.phase.runtime().is_some_and(|runtime| {
        // Where it cannot be told, the VM is left alone.
        Process::find(&runtime.machine.vmm).map_or(true, |found| found.is_some())
    })
}
