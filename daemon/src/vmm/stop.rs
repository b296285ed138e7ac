//! Ends a VM: asks, waits, asks in another way, kills at the deadline.

use std::io;
use std::time::Duration;

use banger_proto::VmmKind;
use serde::{Deserialize, Serialize};

use super::firecracker::api;
use super::qmp::Qmp;
use super::spec::Files;
use super::start::Running;
use crate::spawn::Process;

/// How long the guest has to react to one way of asking before the other is tried.
const BETWEEN: Duration = Duration::from_secs(5);
/// How long the network's process and file servers may outlive the VMM.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a VM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stopped {
    /// It had ended already.
    Already,
    /// The guest shut down.
    Orderly,
    /// It was killed: at the deadline, or because it could not be asked.
    Killed,
}

/// A VM that could not be stopped.
#[derive(Debug, thiserror::Error)]
#[error("cannot stop the VMM")]
pub struct StopError(#[from] io::Error);

/// Asks the guest to shut down and kills the VMM when it has not ended within
/// `deadline`; zero kills at once. Works after a restart of the daemon too.
///
/// # Errors
/// When the processes cannot be waited for or killed.
pub async fn stop(
    running: &Running,
    files: &Files,
    deadline: Duration,
) -> Result<Stopped, StopError> {
    let how = match Process::find(&running.vmm)? {
        None => Stopped::Already,
        Some(vmm) => stop_vmm(&vmm, running.kind, files, deadline).await?,
    };
    // What runs for it ends with it.
    let helpers =
        running.network_process.iter().chain(running.shares.iter().map(|one| &one.server));
    let patience = tokio::time::Instant::now() + PATIENCE;
    for id in helpers {
        if let Some(helper) = Process::find(id)?
            && tokio::time::timeout_at(patience, helper.ended()).await.is_err()
        {
            helper.kill().await?;
        }
    }
    files.forget();
    Ok(how)
}

async fn stop_vmm(
    vmm: &Process,
    kind: VmmKind,
    files: &Files,
    deadline: Duration,
) -> io::Result<Stopped> {
    let orderly = async {
        !deadline.is_zero()
            && match kind {
                VmmKind::Qemu => ask(vmm, files).await,
                VmmKind::Firecracker => ask_firecracker(vmm, files).await,
            }
    };
    if tokio::time::timeout(deadline, orderly).await == Ok(true) {
        return Ok(Stopped::Orderly);
    }
    vmm.kill().await?;
    Ok(Stopped::Killed)
}

/// Asks in the ways a guest may understand, in turns: the power button needs a
/// program that watches it, and is lost on a guest that has not come that far;
/// ctrl-alt-delete needs only an init. A guest that shuts down takes no notice of
/// either. False when it cannot be asked.
async fn ask(vmm: &Process, files: &Files) -> bool {
    // Held open, so that QEMU's last events do not meet a closed connection.
    let Ok(mut qmp) = Qmp::connect(files).await else {
        return vmm.has_ended();
    };
    let mut button = true;
    loop {
        let asked = match button {
            true => qmp.press_power_button().await,
            false => qmp.press_ctrl_alt_delete().await,
        };
        button = !button;
        if let Some(has_ended) = heard(vmm, asked.is_ok()).await {
            return has_ended;
        }
    }
}

/// Firecracker has no power button, only the keys. False when it cannot be asked.
async fn ask_firecracker(vmm: &Process, files: &Files) -> bool {
    loop {
        let asked = api::press_ctrl_alt_delete(files).await;
        if let Some(has_ended) = heard(vmm, asked.is_ok()).await {
            return has_ended;
        }
    }
}

/// Gives the guest a while. None when it is time to ask again; else whether the VMM has ended,
/// whose socket fails when it ends, and otherwise only when it is broken.
async fn heard(vmm: &Process, asked: bool) -> Option<bool> {
    tokio::select! {
        ended = vmm.ended() => Some(ended.is_ok()),
        () = tokio::time::sleep(BETWEEN) => (!asked).then(|| vmm.has_ended()),
    }
}
