//! `gc`: lists what has no owner any more, and removes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Code, Garbage, GarbageFate, Refusal, VmRef};
use tokio::sync::mpsc;

use super::{blocking, store_refusal};
use crate::garbage::{self, Action, Finding, Found, FoundFile, FoundVm, What};
use crate::progress::Teller;
use crate::system::Helper;
use crate::vm::{Handle, Registry};

/// How long a process that seems to have no owner is given: one that is just ending looks
/// the same.
const SETTLE: Duration = Duration::from_millis(300);

/// What has no owner, with what became of it: nothing, when it is a `dry_run`.
///
/// # Errors
/// When it cannot be looked for. What cannot be removed is told in its place.
pub async fn collect_garbage(
    registry: &Arc<Registry>,
    dry_run: bool,
    include_overlays: bool,
) -> Result<Vec<Garbage>, Refusal> {
    let mut findings = look(registry).await?;
    if findings.iter().any(|finding| process(&finding.action).is_some()) {
        tokio::time::sleep(SETTLE).await;
        findings
            .retain(|finding| process(&finding.action).is_none_or(|id| id.runs().unwrap_or(true)));
    }
    let mut garbage = Vec::with_capacity(findings.len());
    for Finding { garbage: mut found, action } in findings {
        if !dry_run && action != Action::LeaveAlone {
            found.fate = match remove(registry, &action).await {
                Ok(()) => GarbageFate::Removed,
                Err(refusal) => GarbageFate::Stays(refusal.to_string()),
            };
            tracing::info!(kind = found.kind, place = ?found.place, fate = ?found.fate, "garbage");
        }
        garbage.push(found);
    }
    garbage.extend(of_root(registry, dry_run, include_overlays).await?);
    Ok(garbage)
}

/// What root made for VMs that are not known here. Without a helper that can be asked there is
/// nothing to be told.
async fn of_root(
    registry: &Arc<Registry>,
    dry_run: bool,
    include_overlays: bool,
) -> Result<Vec<Garbage>, Refusal> {
    let keep = registry.every_id()?;
    let swept = async { Helper::connect().await?.sweep(keep, dry_run, include_overlays).await };
    match swept.await {
        Ok(swept) => Ok(swept.into_iter().map(|swept| garbage::of_root(swept, dry_run)).collect()),
        Err(refusal) => {
            tracing::debug!(%refusal, "the root helper is not asked for garbage");
            Ok(Vec::new())
        }
    }
}

async fn look(registry: &Arc<Registry>) -> Result<Vec<Finding>, Refusal> {
    let context = registry.context().clone();
    let mut claimed = context.claimed();
    let paths = context.paths.clone();
    let found = blocking(move || Ok(garbage::survey(&paths))).await?;
    // Also what has been begun or finished since: names of what is half made are never
    // used twice, so that what nobody claims now and is still there is nobody's.
    claimed.extend(context.claimed());
    Ok(garbage::decide(&with_known(found, &registry.all()), &claimed))
}

/// What this daemon knows of its VMs counts more than what their folders say: somebody may
/// have removed a record by hand.
fn with_known(mut found: Found, known: &[Handle]) -> Found {
    for vm in known {
        let record = vm.record();
        let (name, phase) = (record.name, record.phase);
        let runs = phase.runtime().is_some() || phase.is_starting();
        let path: PathBuf = vm.files().directory().to_owned();
        let at = found.files.iter_mut().find(|file| file.path == path);
        match at {
            Some(FoundFile { what: What::Vm(_, FoundVm::Readable { runs: was, .. }), .. }) => {
                *was = runs;
            }
            at => {
                let what = What::Vm(record.id, FoundVm::Readable { name, runs, holder: None });
                let file = FoundFile { path, bytes: 0, changed_at: 0, what };
                match at {
                    Some(place) => *place = file,
                    None => found.files.push(file),
                }
            }
        }
    }
    found
}

fn process(action: &Action) -> Option<&crate::spawn::ProcessId> {
    match action {
        Action::Kill(id) | Action::KillGroup(id) => Some(id),
        _ => None,
    }
}

async fn remove(registry: &Arc<Registry>, action: &Action) -> Result<(), Refusal> {
    let context = registry.context().clone();
    match action {
        Action::Discard(id) => {
            let id = *id;
            blocking(move || {
                context.vms.remove(id).map_err(|error| store_refusal(&error))?.free();
                Ok(())
            })
            .await
        }
        Action::RemoveVm(id) => {
            let Ok(vm) = registry.find(&VmRef::Id(*id)) else { return Ok(()) };
            let (teller, told) = Teller::channel();
            vm.remove(true, teller);
            end(told).await
        }
        _ => garbage::remove(action, &context.programs().await)
            .await
            .map_err(|error| Refusal::from_error(Code::Internal, &error)),
    }
}

/// Waits for the end of an operation. That its VM has gone meanwhile is what was wanted.
async fn end<T>(
    mut told: mpsc::UnboundedReceiver<crate::progress::Told<T>>,
) -> Result<(), Refusal> {
    while let Some(event) = told.recv().await {
        match event {
            Err(refusal) if refusal.code != Code::NotFound => return Err(refusal),
            _ => {}
        }
    }
    Ok(())
}
