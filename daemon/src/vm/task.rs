//! The task of one VM: the only writer of its record.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Code, Refusal, Vm};
use tokio::sync::{mpsc, watch};

use super::handle::Command;
use super::view::view;
use crate::context::Context;
use crate::progress::Teller;
use crate::spawn::Process;
use crate::store::{VmFiles, VmRecord};

/// How long an ephemeral VM may be without anybody who holds it.
const GRACE: Duration = Duration::from_secs(10);

/// One VM's life.
#[derive(Debug)]
pub(super) struct Task {
    context: Arc<Context>,
    files: VmFiles,
    published: watch::Sender<VmRecord>,
    asked: mpsc::UnboundedReceiver<Command>,
    /// What came while something else was under way.
    waiting: VecDeque<Command>,
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

/// Why the task goes on or ends.
enum Next {
    Asked(Command),
    Abandoned,
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
            holds: 0,
            released: false,
        }
    }

    fn view(&self) -> Vm {
        view(&self.published.borrow(), &self.files)
    }

    /// Lives until the VM is removed, or (`None`) until the daemon ends.
    pub(super) async fn run(mut self) -> Option<Farewell> {
        loop {
            match self.next().await {
                Next::Asked(Command::Leave) => return None,
                Next::Asked(Command::Start(teller)) => {
                    teller.end(Err(Refusal::new(Code::Unavailable, "this banger starts no VMs")));
                }
                Next::Asked(Command::Stop(deadline, teller)) => {
                    tracing::debug!(?deadline, "nothing runs");
                    teller.end(Ok(self.view()));
                }
                Next::Asked(Command::Remove { force: false, teller })
                    if self.published.borrow().phase.runtime().is_some() =>
                {
                    teller.end(Err(Refusal::new(Code::FailedPrecondition, "it runs")));
                }
                Next::Asked(Command::Remove { teller, .. }) => match self.remove().await {
                    Ok(vm) => return Some(Farewell { vm, teller: Some(teller) }),
                    Err(refusal) => teller.end(Err(refusal)),
                },
                Next::Asked(Command::Hold(holder)) => {
                    self.holds += 1;
                    self.change(|record| record.holder = holder).await;
                }
                Next::Asked(Command::Release) => {
                    self.holds = self.holds.saturating_sub(1);
                    self.released = self.holds == 0;
                }
                Next::Abandoned => match self.remove().await {
                    Ok(vm) => return Some(Farewell { vm, teller: None }),
                    Err(error) => {
                        tracing::error!(%error, "cannot remove an ephemeral VM");
                        self.released = false;
                    }
                },
            }
        }
    }

    async fn next(&mut self) -> Next {
        if let Some(command) = self.waiting.pop_front() {
            return Next::Asked(command);
        }
        let abandoned = abandoned(&self.published.borrow(), self.holds, self.released);
        tokio::select! {
            asked = self.asked.recv() => Next::Asked(asked.unwrap_or(Command::Leave)),
            () = abandoned => Next::Abandoned,
        }
    }

    /// Changes the record, first on disk and then for everybody. A record that cannot
    /// be written is still true in this daemon, and the next change tries again.
    async fn change(&mut self, change: impl FnOnce(&mut VmRecord)) {
        let mut record = self.published.borrow().clone();
        change(&mut record);
        let context = self.context.clone();
        let saved = record.clone();
        let saved = tokio::task::spawn_blocking(move || context.vms.save(&saved)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(vm = %record.name, %error, "cannot save a record"),
            Err(error) => tracing::error!(vm = %record.name, %error, "saving a record failed"),
        }
        self.published.send_replace(record);
    }

    async fn remove(&mut self) -> Result<Vm, Refusal> {
        let vm = self.view();
        let context = self.context.clone();
        tokio::task::spawn_blocking(move || context.vms.remove(vm.id))
            .await
            .map_err(|error| Refusal::from_error(Code::Internal, &error))?
            .map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        tracing::info!(vm = %vm.name, "removed");
        Ok(vm)
    }
}

/// Returns when nobody wants an ephemeral VM any more.
fn abandoned(
    record: &VmRecord,
    holds: usize,
    released: bool,
) -> impl Future<Output = ()> + Send + 'static {
    let ephemeral = record.ephemeral;
    let holder = record.holder.as_ref().and_then(|id| Process::find(id).ok().flatten());
    async move {
        if !ephemeral || holds > 0 {
            std::future::pending::<()>().await;
        }
        if released {
            return;
        }
        match holder {
            Some(process) => {
                if let Err(error) = process.ended().await {
                    tracing::error!(%error, "cannot await the holder of a VM");
                }
            }
            None => tokio::time::sleep(GRACE).await,
        }
    }
}
