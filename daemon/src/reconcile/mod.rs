//! What a daemon does with what an earlier one left: records and processes -> actions.

mod decide;
mod devices;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::context::Context;
use crate::garbage::{self, Finding, Found};
use crate::spawn::{Process, ProcessId};
use crate::store::{VmRecord, sweep};
use crate::vm::Registry;

/// How long a process that was killed may take to end.
const KILLED: Duration = Duration::from_secs(3);

/// Sweeps what was left half made, ends processes of VMs that no record knows of, and
/// begins the task of every VM. The socket listens by then: who connects is answered once all
/// VMs stand there, which nothing that is swept and no root helper is waited for.
pub async fn take_over(registry: &Arc<Registry>) {
    let context = registry.context();
    // Found before anybody can begin something new.
    let found = garbage::survey(&context.paths);
    tidy(context.clone(), &found);
    let (records, broken) = match context.vms.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "cannot list the VMs");
            return;
        }
    };
    for vm in &broken {
        tracing::error!(vm = vm.label(), reason = vm.reason, "cannot read the record of a VM");
    }
    registry.keep_broken(broken);
    let strays = records.iter().flat_map(|record| {
        let name = &record.name;
        decide::strays(record, &found.processes).map(move |stray| (name, stray))
    });
    let ended = strays.map(|(vm, stray)| {
        tracing::warn!(%vm, pid = stray.pid, "ending a process nobody knows of");
        end(stray)
    });
    join_all(ended).await;
    for mut record in records {
        let alive = is_alive(&record);
        if !alive {
            context.vms.files(record.id).run().forget();
        }
        if let Some(phase) = decide::phase(&record, alive) {
            record.phase = phase;
            if let Err(error) = context.vms.save(&record) {
                tracing::error!(vm = %record.name, %error, "cannot save a record");
            }
        }
        registry.adopt(record);
    }
    registry.is_listed();
    tokio::spawn(devices::take_back(registry.clone()));
}

/// Removes what the daemon before was making or removing, beside everything else:
/// gigabytes may have to be given back.
fn tidy(context: Arc<Context>, found: &Found) {
    let unfinished: Vec<Finding> = garbage::decide(found, &BTreeSet::new())
        .into_iter()
        .filter(Finding::is_unfinished_work)
        .collect();
    let parts = context.vms.unfinished_parts();
    let claims: Vec<_> = unfinished
        .iter()
        .filter_map(|finding| finding.path())
        .map(|path| context.builds.claim(path))
        .collect();
    tokio::spawn(async move {
        let finder = context.programs().await;
        for Finding { garbage, action } in unfinished {
            match garbage::remove(&action, &finder).await {
                Ok(()) => tracing::info!(place = ?garbage.place, "removed what was unfinished"),
                Err(error) => {
                    tracing::warn!(place = ?garbage.place, %error, "cannot remove what is unfinished");
                }
            }
        }
        drop(claims);
    });
    tokio::task::spawn_blocking(move || sweep(&parts));
}

/// Kills a process, and waits for its end where that comes soon: one that hangs in the kernel
/// keeps nobody from the daemon.
async fn end(stray: &ProcessId) {
    let Ok(Some(process)) = Process::find(stray) else { return };
    match tokio::time::timeout(KILLED, process.kill()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot end it"),
        Err(_) => tracing::error!(pid = stray.pid, "it was killed, and does not end"),
    }
}

fn is_alive(record: &VmRecord) -> bool {
    // Where it cannot be told, the VM is left alone.
    let runs = |id: &ProcessId| id.runs().unwrap_or(true);
    record.phase.runtime().is_some_and(|runtime| runs(&runtime.machine.vmm))
}
