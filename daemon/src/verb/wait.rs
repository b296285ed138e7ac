//! `vm wait`: until a VM is where somebody wants it.

use std::net::SocketAddrV4;
use std::time::Duration;

use banger_proto::{Code, Refusal, Vm, VmCondition, VmState};

use crate::guest;
use crate::store::VmRecord;
use crate::vm::Handle;

/// Returns the VM once it is as it is awaited.
///
/// # Errors
/// [`Code::DeadlineExceeded`] after `timeout`; [`Code::FailedPrecondition`] when it fails;
/// [`Code::NotFound`] when it is removed, unless its end was awaited.
pub async fn wait_vm(
    vm: &Handle,
    until: VmCondition,
    timeout: Option<Duration>,
) -> Result<Vm, Refusal> {
    let Some(timeout) = timeout else { return reached(vm, until).await };
    match tokio::time::timeout(timeout, reached(vm, until)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let record = vm.record();
            let seconds = timeout.as_secs();
            let state = match (record.phase.state(), until) {
                (VmState::Running, VmCondition::Ssh) => "running, and its sshd does not answer,",
                (state, _) => state.as_str(),
            };
            Err(Refusal::new(
                Code::DeadlineExceeded,
                format!("{} is still {state} after {seconds} s", record.name),
            )
            .hint(format!("see what it does: banger logs {}", record.name)))
        }
    }
}

/// What follows from a state for whoever waits.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Reached,
    Failed,
    Later,
    /// It runs: whether its sshd answers must be tried.
    Try,
}

/// `first` is set for the state at the beginning: one that has failed may be started
/// again by whoever waits for it to run.
fn judge(state: VmState, until: VmCondition, first: bool) -> Verdict {
    use VmState::{Created, Failed, Running, Stopped};
    match (until, state) {
        (VmCondition::Stopped, Created | Stopped) | (VmCondition::Running, Running) => {
            Verdict::Reached
        }
        (VmCondition::Ssh, Running) => Verdict::Try,
        (VmCondition::Stopped, Failed) => Verdict::Failed,
        (_, Failed) if !first => Verdict::Failed,
        _ => Verdict::Later,
    }
}

async fn reached(vm: &Handle, until: VmCondition) -> Result<Vm, Refusal> {
    let mut changes = vm.watch();
    let mut first = true;
    loop {
        let record = changes.borrow_and_update().clone();
        let answers = match judge(record.phase.state(), until, first) {
            Verdict::Reached => return Ok(vm.view()),
            Verdict::Failed => return Err(failed(&record)),
            Verdict::Later => None,
            Verdict::Try => Some(sshd(&record)?),
        };
        first = false;
        let answered = async {
            match answers {
                Some(sshd) => guest::wait::greeting(sshd).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = answered => return Ok(vm.view()),
            changed = changes.changed() => if changed.is_err() {
                return gone(vm, until);
            }
        }
    }
}

fn sshd(record: &VmRecord) -> Result<SocketAddrV4, Refusal> {
    record.phase.runtime().and_then(|runtime| runtime.machine.sshd()).ok_or_else(|| {
        let name = &record.name;
        Refusal::new(Code::FailedPrecondition, format!("{name} has no network: no ssh leads there"))
            .hint(format!("wait until it runs: banger wait --for running {name}"))
    })
}

fn failed(record: &VmRecord) -> Refusal {
    let mut refusal = Refusal::new(Code::FailedPrecondition, format!("{} has failed", record.name))
        .hint(format!("see what it said: banger logs {}", record.name));
    refusal.chain.push(record.phase.reason().to_owned());
    refusal
}

/// Its task has ended: with the VM, or with the daemon.
fn gone(vm: &Handle, until: VmCondition) -> Result<Vm, Refusal> {
    let name = vm.name();
    if vm.files().directory().exists() {
        return Err(Refusal::new(Code::Unavailable, "bangerd ends")
            .hint("the same again; bangerd is started anew"));
    }
    match until {
        VmCondition::Stopped => Ok(vm.view()),
        VmCondition::Running | VmCondition::Ssh => {
            Err(Refusal::new(Code::NotFound, format!("{name} has been removed")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_judged_by_what_is_awaited() {
        use VmCondition::{Running, Ssh, Stopped};
        for (state, until, first, verdict) in [
            (VmState::Created, Stopped, true, Verdict::Reached),
            (VmState::Stopped, Stopped, true, Verdict::Reached),
            (VmState::Stopping, Stopped, true, Verdict::Later),
            (VmState::Starting, Stopped, true, Verdict::Later),
            (VmState::Failed, Stopped, true, Verdict::Failed),
            (VmState::Running, Running, true, Verdict::Reached),
            (VmState::Running, Ssh, true, Verdict::Try),
            (VmState::Failed, Ssh, true, Verdict::Later),
            (VmState::Failed, Ssh, false, Verdict::Failed),
            // A restart passes through it.
            (VmState::Stopped, Running, false, Verdict::Later),
        ] {
            assert_eq!(judge(state, until, first), verdict, "{state} {until} {first}");
        }
    }
}
