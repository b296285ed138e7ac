//! What a VM's task does when it is asked to, and when its VMM ends.

use std::time::Duration;

use banger_proto::{Code, Refusal, StartOptions, Vm, VmState};
use tokio::sync::watch;

use super::attend::Operation;
use super::ending;
use super::task::{Task, ends};
use crate::net;
use crate::progress::Teller;
use crate::spawn::ProcessId;
use crate::store::{Phase, Runtime, VmRecord};
use crate::verb::{self, Left, blocking, shares};
use crate::vmm::{self, Stopped};

impl Task {
    pub(super) async fn start(
        &mut self,
        options: StartOptions,
        teller: &Teller<Vm>,
    ) -> Result<Vm, Refusal> {
        let record = self.record();
        if record.phase.runtime().is_some() {
            return Err(Refusal::new(
                Code::FailedPrecondition,
                format!("{} runs already", record.name),
            )
            .hint(format!("use it: banger vm ssh {}", record.name)));
        }
        // Before anything is changed: a mistake in a file is no failure of the VM's.
        let settings = self.context.settings().await?;
        // Nor is a port that somebody else has.
        let ports = self.context.ports.claim(&record.name, &record.publish)?;
        net::refuse_privileged(&record.publish)?;
        net::refuse_taken(&record.publish)?;
        // Nor is a folder that is not where it was.
        let (context, looked_at) = (self.context.clone(), record.clone());
        let name = record.name.clone();
        blocking(move || shares::open(&context.paths, name.as_str(), &looked_at.shares).map(drop))
            .await?;
        let before = record.phase.clone();
        self.change(|record| record.phase = Phase::Starting {}).await;
        let (interrupt, interrupted) = watch::channel(false);
        let work = verb::start_vm(
            self.context.clone(),
            settings,
            record.clone(),
            self.files.clone(),
            options,
            teller.clone(),
            interrupted,
        );
        let outcome = self.attend(Operation::Start, &interrupt, work).await;
        match outcome.unwrap_or_else(|| Err(ends())) {
            Ok(runtime) => {
                let known = self.change_for_good(|record| {
                    record.booted = true;
                    record.phase = Phase::Running { runtime };
                });
                let known = known.await;
                // Claimed again, together with those that were chosen.
                drop(ports);
                self.hold_vmm();
                if let Err(refusal) = known {
                    // What its guest wrote would be the next daemon's to throw away.
                    self.stop_for(Operation::Stop, Some(Duration::ZERO), teller).await?;
                    return Err(refusal.hint(
                        "it was stopped again; make room where banger keeps its state, then start it",
                    ));
                }
                tracing::info!(vm = %record.name, "runs");
                Ok(self.view())
            }
            Err(refusal) => {
                let phase = match (&refusal.code, before) {
                    (Code::Aborted, Phase::Created {}) => Phase::Created {},
                    // The host had not enough for it, and nothing has come of it.
                    (Code::ResourceExhausted, before) => before,
                    (Code::Aborted, _) => Phase::Stopped { reason: refusal.message.clone() },
                    _ => Phase::Failed {
                        reason: format!("start failed ({}): {}", refusal.stage, refusal.message),
                    },
                };
                tracing::warn!(vm = %record.name, stage = refusal.stage, error = %refusal, "did not start");
                self.change(|record| record.phase = phase).await;
                Err(refusal)
            }
        }
    }

    pub(super) async fn stop(
        &mut self,
        deadline: Option<Duration>,
        teller: &Teller<Vm>,
    ) -> Result<Vm, Refusal> {
        self.stop_for(Operation::Stop, deadline, teller).await
    }

    /// Stops it as a part of `operation`.
    pub(super) async fn stop_for(
        &mut self,
        operation: Operation,
        deadline: Option<Duration>,
        teller: &Teller<Vm>,
    ) -> Result<Vm, Refusal> {
        let record = self.record();
        let Some(runtime) = record.phase.runtime().cloned() else {
            if record.phase.state() != VmState::Stopped {
                let state = record.phase.state();
                teller.notice(format!("{} does not run: it is {state}", record.name));
            }
            return Ok(self.view());
        };
        let stopping = Phase::Stopping { runtime: runtime.clone() };
        self.change(|record| record.phase = stopping).await;
        let (interrupt, interrupted) = watch::channel(false);
        let (context, files) = (self.context.clone(), self.files.clone());
        let work = verb::stop_vm(&context, &runtime, &files, deadline, teller, interrupted);
        let stopped = match self.attend(operation, &interrupt, work).await {
            Some(Ok(stopped)) => stopped,
            None => return Err(ends()),
            Some(Err(refusal)) => {
                self.change(|record| record.phase = Phase::Running { runtime }).await;
                return Err(refusal);
            }
        };
        self.let_go();
        verb::detach(&record, teller).await;
        let reason = match stopped {
            Stopped::Killed => "killed: it did not shut down by itself".to_owned(),
            Stopped::Orderly | Stopped::Already => String::new(),
        };
        self.change(|record| record.phase = Phase::Stopped { reason }).await;
        tracing::info!(vm = %record.name, ?stopped, "stopped");
        Ok(self.view())
    }

    /// Ends the VMM for a VM that is about to go: its record need not say so any more.
    async fn kill(&mut self, teller: &Teller<Vm>) -> Result<(), Refusal> {
        let record = self.record();
        let Some(runtime) = record.phase.runtime() else { return Ok(()) };
        let (_interrupt, interrupted) = watch::channel(false);
        let deadline = Some(Duration::ZERO);
        verb::stop_vm(&self.context, runtime, &self.files, deadline, teller, interrupted).await?;
        self.let_go();
        let phase = Phase::Stopped { reason: "killed".to_owned() };
        self.publish(VmRecord { phase, ..record });
        Ok(())
    }

    pub(super) async fn remove(&mut self, force: bool, teller: &Teller<Vm>) -> Result<Vm, Refusal> {
        let record = self.record();
        if record.phase.runtime().is_some() {
            if !force {
                let name = &record.name;
                return Err(Refusal::new(Code::FailedPrecondition, format!("{name} runs"))
                    .hint(format!("stop it first, or kill it: banger vm rm --force {name}")));
            }
            self.kill(teller).await?;
        }
        let vm = self.view();
        verb::remove_vm(self.context.clone(), &record, teller).await?;
        tracing::info!(vm = %vm.name, "removed");
        Ok(vm)
    }

    /// Between two operations: a start that came before has its own device and tap by now.
    pub(super) async fn take_back(&self, left: Left) {
        let record = self.record();
        if record.phase.runtime().is_none() {
            verb::take_back(&record, left).await;
        }
    }

    pub(super) async fn vmm_ended(&mut self) {
        self.let_go();
        let record = self.record();
        let Some(Runtime { machine, .. }) = record.phase.runtime() else { return };
        // What ran for the VMM ends too; the VMM itself has ended already.
        if let Err(error) = vmm::stop(machine, &self.files.run(), Duration::ZERO).await {
            tracing::error!(%error, "cannot clean up after a VMM");
        }
        let phase = if ProcessId::boot_id().is_ok_and(|now| now != machine.vmm.boot_id) {
            Phase::Stopped { reason: "the host restarted".to_owned() }
        } else {
            ending::of(&self.files.run(), matches!(record.phase, Phase::Stopping { .. }))
        };
        tracing::warn!(vm = %record.name, ?phase, "the VMM ended on its own");
        self.change(|record| record.phase = phase).await;
        // Nobody is kept waiting for the truth by that.
        let (nobody, _) = Teller::channel();
        verb::detach(&record, &nobody).await;
    }
}
