//! The task of one VM: the only writer of its record.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Code, Refusal, Vm};
use tokio::sync::{mpsc, watch};

use super::abandoned;
use super::handle::Command;
use super::view::view;
use crate::context::Context;
use crate::progress::Teller;
use crate::spawn::Process;
use crate::store::{VmFiles, VmRecord};
use crate::vmm::console;

/// How often the console's log is cut to its size.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// One VM's life.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) context: Arc<Context>,
    pub(super) files: VmFiles,
    pub(super) published: watch::Sender<VmRecord>,
    asked: mpsc::UnboundedReceiver<Command>,
    /// What came while something else was under way.
    waiting: VecDeque<Command>,
    /// The VMM, while it runs.
    pub(super) vmm: Option<Process>,
    holds: usize,
    /// The last hold was let go of.
    released: bool,
}

/// What is still to be said when a VM is gone.
#[derive(Debug)]
pub(super) struct Farewell {
    vm: Vm,
    teller: Option<Teller<Vm>>,
}

impl Farewell {
    /// Says it.
    pub(super) fn tell(self) {
        if let Some(teller) = self.teller {
            teller.end(Ok(self.vm));
        }
    }
}

/// What happens next.
enum Next {
    Asked(Command),
    VmmEnded,
    Trim,
    Abandoned,
}

/// An operation that takes long, for commands that come meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Start,
    Stop,
}

/// The answer to whoever waits for an operation while the daemon ends.
pub(super) fn ends() -> Refusal {
    Refusal::new(Code::Unavailable, "bangerd ends").hint("see how it went on: banger vm ls")
}

impl Task {
    pub(super) fn new(
        context: Arc<Context>,
        files: VmFiles,
        published: watch::Sender<VmRecord>,
        asked: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            context,
            files,
            published,
            asked,
            waiting: VecDeque::new(),
            vmm: None,
            holds: 0,
            released: false,
        }
    }

    pub(super) fn record(&self) -> VmRecord {
        self.published.borrow().clone()
    }

    pub(super) fn view(&self) -> Vm {
        view(&self.published.borrow(), &self.files)
    }

    /// Lives until the VM is removed, or (`None`) until the daemon ends.
    pub(super) async fn run(mut self) -> Option<Farewell> {
        self.hold_vmm();
        loop {
            match self.next().await {
                Next::Asked(Command::Leave) => return None,
                Next::Asked(Command::Start(options, teller)) => {
                    let outcome = self.start(options, &teller).await;
                    teller.end(outcome);
                }
                Next::Asked(Command::Stop(deadline, teller)) => {
                    let outcome = self.stop(deadline, &teller).await;
                    teller.end(outcome);
                }
                Next::Asked(Command::Remove { force, teller }) => {
                    match self.remove(force, &teller).await {
                        Ok(vm) => return Some(Farewell { vm, teller: Some(teller) }),
                        Err(refusal) => teller.end(Err(refusal)),
                    }
                }
                Next::Asked(command @ (Command::Hold(_) | Command::Release)) => {
                    self.hold(command).await;
                }
                Next::VmmEnded => self.vmm_ended().await,
                Next::Trim => self.trim().await,
                Next::Abandoned => {
                    tracing::info!(vm = %self.record().name, "nobody holds it any more");
                    let (nobody, _) = Teller::channel();
                    match self.remove(true, &nobody).await {
                        Ok(vm) => return Some(Farewell { vm, teller: None }),
                        Err(error) => {
                            tracing::error!(%error, "cannot remove an ephemeral VM");
                            // Tried again by the next daemon, and by whoever asks.
                            self.change(|record| record.ephemeral = false).await;
                        }
                    }
                }
            }
        }
    }

    /// Holds the VMM that the record names. Where it has ended, that is noticed at once.
    pub(super) fn hold_vmm(&mut self) {
        if let Some(runtime) = self.record().phase.runtime() {
            match Process::find(&runtime.machine.vmm) {
                Ok(found) => self.vmm = found,
                Err(error) => tracing::error!(%error, "cannot look for a VMM"),
            }
        }
    }

    async fn next(&mut self) -> Next {
        if let Some(command) = self.waiting.pop_front() {
            return Next::Asked(command);
        }
        let runs = self.published.borrow().phase.runtime().is_some();
        let ended = async {
            match &self.vmm {
                Some(vmm) => {
                    if let Err(error) = vmm.ended().await {
                        tracing::error!(%error, "cannot watch a VMM");
                        std::future::pending::<()>().await;
                    }
                }
                None if runs => {}
                None => std::future::pending().await,
            }
        };
        let abandoned = abandoned::wait(&self.published.borrow(), self.holds, self.released);
        tokio::select! {
            asked = self.asked.recv() => Next::Asked(asked.unwrap_or(Command::Leave)),
            () = ended => Next::VmmEnded,
            () = tokio::time::sleep(TRIM_EVERY), if runs => Next::Trim,
            () = abandoned => Next::Abandoned,
        }
    }

    /// Carries an operation to its end. Commands that come meanwhile are answered where
    /// they contradict it, interrupt it where they overrule it, and wait otherwise. `None`
    /// when the daemon ends and the operation goes on without it: a guest that was asked to
    /// shut down does so, and the next daemon sees it end.
    pub(super) async fn attend<R>(
        &mut self,
        operation: Operation,
        interrupt: &watch::Sender<bool>,
        work: impl Future<Output = R>,
    ) -> Option<R> {
        let mut work = pin!(work);
        let mut open = true;
        loop {
            let command = tokio::select! {
                outcome = &mut work => return Some(outcome),
                asked = self.asked.recv(), if open => asked,
            };
            open = command.is_some();
            match command.unwrap_or(Command::Leave) {
                Command::Start(_, teller) if operation == Operation::Start => {
                    teller.end(Err(self.busy("is being started already")));
                }
                Command::Remove { force: false, teller } if operation == Operation::Start => {
                    teller.end(Err(self.busy("is being started")));
                }
                command @ (Command::Hold(_) | Command::Release) => {
                    self.hold(command).await;
                    if self.released && self.published.borrow().ephemeral {
                        interrupt.send_replace(true);
                    }
                }
                command => {
                    let overrules = match &command {
                        Command::Stop(deadline, _) => {
                            operation == Operation::Start || *deadline == Some(Duration::ZERO)
                        }
                        Command::Remove { force, .. } => *force,
                        Command::Leave => operation == Operation::Start,
                        _ => false,
                    };
                    if overrules {
                        interrupt.send_replace(true);
                    }
                    let leave = matches!(command, Command::Leave);
                    self.waiting.push_back(command);
                    if leave && operation == Operation::Stop {
                        return None;
                    }
                }
            }
        }
    }

    fn busy(&self, what: &str) -> Refusal {
        let name = &self.published.borrow().name;
        Refusal::new(Code::Aborted, format!("{name} {what}"))
            .hint(format!("wait for it, or break it off: banger vm stop {name}"))
    }

    async fn trim(&self) {
        let files = self.files.run();
        let trimmed = tokio::task::spawn_blocking(move || console::trim(&files, console::LIMIT));
        if let Ok(Err(error)) = trimmed.await {
            tracing::warn!(%error, "cannot cut the log of a console");
        }
    }

    async fn hold(&mut self, command: Command) {
        match command {
            Command::Hold(holder) => {
                self.holds += 1;
                self.released = false;
                if self.published.borrow().ephemeral {
                    self.change(|record| record.holder = holder).await;
                }
            }
            Command::Release => {
                self.holds = self.holds.saturating_sub(1);
                self.released = self.holds == 0;
            }
            _ => {}
        }
    }

    /// Changes the record, first on disk and then for everybody. A record that cannot
    /// be written is still true in this daemon, and the next change tries again. A phase
    /// that cannot follow is an error in this program: the phase stays what it is.
    pub(super) async fn change(&mut self, change: impl FnOnce(&mut VmRecord)) {
        let mut record = self.record();
        let before = record.phase.clone();
        change(&mut record);
        if !before.may_become(&record.phase) {
            let (from, to) = (before.state(), record.phase.state());
            tracing::error!(vm = %record.name, %from, %to, "an impossible transition");
            record.phase = before;
        }
        let context = self.context.clone();
        let saved = record.clone();
        match tokio::task::spawn_blocking(move || context.vms.save(&saved)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(vm = %record.name, %error, "cannot save a record"),
            Err(error) => tracing::error!(vm = %record.name, %error, "saving a record failed"),
        }
        self.published.send_replace(record);
    }
}
