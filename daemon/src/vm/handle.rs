//! How everybody else asks the task of a VM.

use std::time::Duration;

use banger_proto::{Code, Refusal, StartOptions, Vm, VmChange, VmId, VmName};
use tokio::sync::{mpsc, oneshot, watch};

use super::view::view;
use crate::progress::Teller;
use crate::spawn::ProcessId;
use crate::store::{VmFiles, VmRecord};
use crate::verb::Left;

/// What a VM's task can be asked for. Each command is answered by its teller.
#[derive(Debug)]
pub(super) enum Command {
    /// To start the VM.
    Start(StartOptions, Teller<Vm>),
    /// To stop it, and to kill it after so long; `None` is the usual deadline.
    Stop(Option<Duration>, Teller<Vm>),
    /// To stop it as `Stop` does and to start it.
    Restart(Option<Duration>, StartOptions, Teller<Vm>),
    /// To change what it has from its next start on.
    Set(VmChange, oneshot::Sender<Result<Vm, Refusal>>),
    /// To remove it with its disks, and to kill it first when asked to.
    Remove { force: bool, teller: Teller<Vm> },
    /// To keep it as long as the process lives and the hold is not released.
    Hold(Option<ProcessId>),
    /// To let go of one hold.
    Release,
    /// To have what root made for it taken away, unless it runs.
    TakeBack(Left),
    /// To leave everything as it is, since the daemon ends.
    Leave,
}

impl Command {
    /// Answers it with a refusal, where somebody waits for an answer.
    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Start(_, teller)
            | Self::Stop(_, teller)
            | Self::Restart(_, _, teller)
            | Self::Remove { teller, .. } => teller.end(Err(refusal)),
            // Whoever asked may have gone away.
            Self::Set(_, answer) => drop(answer.send(Err(refusal))),
            Self::Hold(_) | Self::Release | Self::TakeBack(_) | Self::Leave => {}
        }
    }
}

/// The answer of a VM that is no more.
pub(super) fn removed(name: &VmName) -> Refusal {
    Refusal::new(Code::NotFound, format!("{name} has just been removed"))
}

/// A VM as the rest of the daemon has it.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) record: watch::Receiver<VmRecord>,
    pub(super) files: VmFiles,
}

/// Keeps an ephemeral VM; dropping it lets the VM go.
#[derive(Debug)]
pub struct Hold {
    commands: mpsc::UnboundedSender<Command>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // A task that has ended holds nothing any more.
        let _gone = self.commands.send(Command::Release);
    }
}

impl Handle {
    /// The VM's identity.
    #[must_use]
    pub fn id(&self) -> VmId {
        self.record.borrow().id
    }

    /// The VM's name.
    #[must_use]
    pub fn name(&self) -> VmName {
        self.record.borrow().name.clone()
    }

    /// What is known of it now.
    #[must_use]
    pub fn record(&self) -> VmRecord {
        self.record.borrow().clone()
    }

    /// Its record as it changes; ends when the VM is removed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<VmRecord> {
        self.record.clone()
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &VmFiles {
        &self.files
    }

    /// The VM as people see it.
    #[must_use]
    pub fn view(&self) -> Vm {
        view(&self.record.borrow(), &self.files)
    }

    fn ask(&self, command: Command) {
        if let Err(mpsc::error::SendError(command)) = self.commands.send(command) {
            command.refuse(removed(&self.name()));
        }
    }

    /// Starts it; `teller` tells how that goes.
    pub fn start(&self, options: StartOptions, teller: Teller<Vm>) {
        self.ask(Command::Start(options, teller));
    }

    /// Stops it; `teller` tells how that goes.
    pub fn stop(&self, deadline: Option<Duration>, teller: Teller<Vm>) {
        self.ask(Command::Stop(deadline, teller));
    }

    /// Stops and starts it; `teller` tells how that goes.
    pub fn restart(&self, deadline: Option<Duration>, options: StartOptions, teller: Teller<Vm>) {
        self.ask(Command::Restart(deadline, options, teller));
    }

    /// Changes what it has from its next start on.
    ///
    /// # Errors
    /// When that cannot be.
    pub async fn set(&self, change: VmChange) -> Result<Vm, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.ask(Command::Set(change, answer));
        answered.await.unwrap_or_else(|_| Err(removed(&self.name())))
    }

    /// Removes it; `teller` tells how that goes.
    pub fn remove(&self, force: bool, teller: Teller<Vm>) {
        self.ask(Command::Remove { force, teller });
    }

    /// Has what root made for an earlier run of it taken away. Nothing happens to one that runs
    /// by then.
    pub(crate) fn take_back(&self, left: Left) {
        self.ask(Command::TakeBack(left));
    }

    /// Keeps it until the returned hold is dropped. `holder` is whom a later daemon
    /// awaits, when this one ends before.
    #[must_use]
    pub fn hold(&self, holder: Option<ProcessId>) -> Hold {
        self.ask(Command::Hold(holder));
        Hold { commands: self.commands.clone() }
    }
}
