//! `vm stop`: asks the guest to shut down, and kills it at a deadline.

use std::time::Duration;

use banger_proto::{Code, Refusal, Stage, Vm};
use tokio::sync::watch;

use crate::config::Settings;
use crate::context::Context;
use crate::progress::Teller;
use crate::store::{Runtime, VmFiles};
use crate::vmm::{self, Accelerator, Stopped};

/// How long a guest has to shut down when nobody says. A configuration that cannot be used
/// does not keep a VM running.
async fn usual_deadline(
    context: &Context,
    accelerator: Accelerator,
    teller: &Teller<Vm>,
) -> Duration {
    let settings = context.settings().await.unwrap_or_else(|refusal| {
        teller.notice(format!("{refusal}, and the deadline is the usual one"));
        Settings::default()
    });
    settings.stop(accelerator)
}

/// Stops a VMM; whoever becomes impatient has it killed by `interrupted`.
pub(crate) async fn stop_vm(
    context: &Context,
    runtime: &Runtime,
    files: &VmFiles,
    deadline: Option<Duration>,
    teller: &Teller<Vm>,
    mut interrupted: watch::Receiver<bool>,
) -> Result<Stopped, Refusal> {
    let machine = &runtime.machine;
    let deadline = match deadline {
        Some(deadline) => deadline,
        None => usual_deadline(context, machine.accelerator, teller).await,
    };
    let files = files.run();
    let detail = if deadline.is_zero() { "killing it" } else { "" };
    let stopped = teller
        .stage(Stage::SHUTDOWN, detail, async {
            let orderly = tokio::select! {
                stopped = vmm::stop(machine, &files, deadline) => Some(stopped),
                Ok(_) = interrupted.wait_for(|&now| now) => None,
            };
            let stopped = match orderly {
                Some(stopped) => stopped,
                None => vmm::stop(machine, &files, Duration::ZERO).await,
            };
            stopped.map_err(|error| {
                Refusal::from_error(Code::Internal, &error)
                    .hint(format!("see what its process {} does", machine.vmm.pid))
            })
        })
        .await?;
    if stopped == Stopped::Killed && !deadline.is_zero() {
        let seconds = deadline.as_secs();
        teller.notice(format!("killed: the guest did not shut down within {seconds} s"));
    }
    Ok(stopped)
}
