//! Ends a VM: asks, waits, asks in another way, kills at the deadline.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::qmp::Qmp;
use super::spec::Files;
use super::start::Running;
use crate::spawn::Process;

/// How long the guest has to react to its power button before ctrl-alt-delete is
/// pressed too.
const BUTTON_PATIENCE: Duration = Duration::from_secs(5);
/// How long the network's process may outlive the VMM.
const NETWORK_PATIENCE: Duration = Duration::from_secs(2);

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
        Some(vmm) => stop_vmm(&vmm, files, deadline).await?,
    };
    if let Some(id) = &running.network_process
        && let Some(network) = Process::find(id)?
        && tokio::time::timeout(NETWORK_PATIENCE, network.ended()).await.is_err()
    {
        network.kill().await?;
    }
    Ok(how)
}

async fn stop_vmm(vmm: &Process, files: &Files, deadline: Duration) -> io::Result<Stopped> {
    let orderly = async {
        if deadline.is_zero() || !ask(vmm, files).await {
            return false;
        }
        vmm.ended().await.is_ok()
    };
    if tokio::time::timeout(deadline, orderly).await == Ok(true) {
        return Ok(Stopped::Orderly);
    }
    vmm.kill().await?;
    Ok(Stopped::Killed)
}

/// Asks in the ways a guest may understand. False when it cannot be asked.
async fn ask(vmm: &Process, files: &Files) -> bool {
    let Ok(mut qmp) = Qmp::connect(files).await else {
        return false;
    };
    if qmp.press_power_button().await.is_err() {
        return vmm.has_ended();
    }
    // Held open, so that the events of the end do not meet a closed connection.
    tokio::select! {
        _ = vmm.ended() => true,
        () = tokio::time::sleep(BUTTON_PATIENCE) => {
            let _refused = qmp.press_ctrl_alt_delete().await;
            vmm.ended().await.is_ok()
        }
    }
}
