//! The task of one VM: the only writer of its record.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::{Code, Refusal, Share, Vm};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::handle::{Command, removed};
use super::view::view;
use super::{abandoned, expiry};
use crate::cgroup;
use crate::context::Context;
use crate::net::PortClaim;
use crate::progress::Teller;
use crate::share;
use crate::spawn::Process;
use crate::store::{VmFiles, VmRecord};
use crate::verb::{blocking, store_refusal};
use crate::vmm::console;

/// How long until it is looked again for a VMM of which nothing could be told.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the console's log is cut to its size.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// How much longer a VMM may live than a file server that ends with it.
const WITH_ITS_VMM: Duration = Duration::from_secs(1);

/// One VM's life.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) context: Arc<Context>,
    pub(super) files: VmFiles,
    pub(super) published: watch::Sender<VmRecord>,
    pub(super) asked: mpsc::UnboundedReceiver<Command>,
    /// What came while something else was under way.
    pub(super) waiting: VecDeque<Command>,
    /// The VMM, while it runs.
    vmm: Option<Process>,
    /// Whether the VMM of the record runs could not be told.
    unsure: bool,
    /// The file servers of its shared folders, each with its place among them.
    servers: Vec<(usize, Process)>,
    /// The host's ports that lead to its guest.
    ports: Option<PortClaim>,
    holds: usize,
    /// The last hold was let go of.
    pub(super) released: bool,
    /// When its logs are cut, where they are too long.
    pub(super) next_trim: Instant,
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
    ServerEnded(usize),
    /// Once more for a VMM of which nothing could be told.
    Look,
    Trim,
    Abandoned,
    Expired,
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
            unsure: false,
            servers: Vec::new(),
            ports: None,
            holds: 0,
            released: false,
            next_trim: Instant::now() + TRIM_EVERY,
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
        // One of an earlier daemon's.
        if let Some(runtime) = self.record().phase.runtime() {
            cgroup::remove_behind(&runtime.machine.vmm);
        }
        let farewell = self.live().await?;
        // What was asked for while it was being removed.
        while let Ok(command) = self.asked.try_recv() {
            self.waiting.push_back(command);
        }
        for command in std::mem::take(&mut self.waiting) {
            command.refuse(removed(&farewell.vm.name));
        }
        Some(farewell)
    }

    async fn live(&mut self) -> Option<Farewell> {
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
                Next::Asked(Command::Restart(deadline, options, teller)) => {
                    let outcome = self.restart(deadline, options, &teller).await;
                    teller.end(outcome);
                }
                Next::Asked(Command::Set(change, answer)) => {
                    let outcome = self.set(change).await;
                    // Whoever asked may have gone away.
                    drop(answer.send(outcome));
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
                Next::Asked(Command::TakeBack(left)) => self.take_back(left).await,
                Next::VmmEnded => self.vmm_ended().await,
                Next::ServerEnded(number) => self.server_ended(number).await,
                Next::Look => self.hold_vmm(),
                Next::Trim => self.trim().await,
                Next::Abandoned => {
                    tracing::info!(vm = %self.record().name, "nobody holds it any more");
                    match self.remove_unasked().await {
                        Some(farewell) => return Some(farewell),
                        // Tried again by the next daemon, and by whoever asks.
                        None => self.change(|record| record.ephemeral = false).await,
                    }
                }
                Next::Expired => {
                    tracing::info!(vm = %self.record().name, "its time is over");
                    match self.remove_unasked().await {
                        Some(farewell) => return Some(farewell),
                        None => self.change(expiry::postpone).await,
                    }
                }
            }
        }
    }

    /// Holds the VMM that the record names. Where it has ended, that is noticed at once; where
    /// it cannot be told, it is looked for again, and taken for one that runs.
    pub(super) fn hold_vmm(&mut self) {
        self.unsure = false;
        let record = self.record();
        if let Some(runtime) = record.phase.runtime() {
            match self.context.ports.claim(&record.name, &runtime.machine.bound()) {
                Ok(claim) => self.ports = Some(claim),
                Err(error) => tracing::warn!(vm = %record.name, %error, "two VMs have one port"),
            }
            match Process::find(&runtime.machine.vmm) {
                Ok(found) => self.vmm = found,
                Err(error) => {
                    tracing::error!(vm = %record.name, %error, "cannot look for a VMM");
                    self.unsure = true;
                }
            }
            let served = runtime.machine.shares.iter().enumerate();
            self.servers = served
                .filter_map(|(number, one)| Some((number, Process::find(&one.server).ok()??)))
                .collect();
        }
    }

    /// The VMM has ended, and what it had is free.
    pub(super) fn let_go(&mut self) {
        self.vmm = None;
        self.unsure = false;
        self.servers.clear();
        self.ports = None;
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
                None if runs && !self.unsure => {}
                None => std::future::pending().await,
            }
        };
        let abandoned = abandoned::wait(&self.published.borrow(), self.holds, self.released);
        let expired = expiry::wait(self.published.borrow().expires_at);
        tokio::select! {
            asked = self.asked.recv() => Next::Asked(asked.unwrap_or(Command::Leave)),
            () = ended => Next::VmmEnded,
            number = share::one_ended(&self.servers) => Next::ServerEnded(number),
            () = tokio::time::sleep(LOOK_EVERY), if runs && self.unsure => Next::Look,
            () = tokio::time::sleep_until(self.next_trim), if runs => Next::Trim,
            () = abandoned => Next::Abandoned,
            () = expired => Next::Expired,
        }
    }

    /// A file server has ended; with its VMM, that is as it should be.
    async fn server_ended(&mut self, number: usize) {
        self.servers.retain(|(one, _)| *one != number);
        let Some(vmm) = &self.vmm else { return };
        if tokio::time::timeout(WITH_ITS_VMM, vmm.ended()).await.is_err() {
            let record = self.record();
            let share = record.shares.get(number).map(Share::arrow).unwrap_or_default();
            tracing::warn!(vm = %record.name, share, "a file server ended before its VM");
        }
    }

    async fn remove_unasked(&mut self) -> Option<Farewell> {
        let (nobody, _) = Teller::channel();
        match self.remove(true, &nobody).await {
            Ok(vm) => Some(Farewell { vm, teller: None }),
            Err(error) => {
                tracing::error!(vm = %self.record().name, %error, "cannot remove a VM");
                None
            }
        }
    }

    pub(super) async fn trim(&mut self) {
        self.next_trim = Instant::now() + TRIM_EVERY;
        let (files, shares) = (self.files.run(), self.record().shares.len());
        let trimmed = tokio::task::spawn_blocking(move || {
            share::trim_logs(&files, shares)?;
            console::trim(&files, console::LIMIT)
        });
        if let Ok(Err(error)) = trimmed.await {
            tracing::warn!(%error, "cannot cut the logs of a VM");
        }
    }

    pub(super) async fn hold(&mut self, command: Command) {
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
        // Told in the log, and true all the same.
        let _unsaved = self.change_for_good(change).await;
    }

    /// As [`Self::change`], for whom it matters that the disk knows.
    ///
    /// # Errors
    /// The record could not be written.
    pub(super) async fn change_for_good(
        &mut self,
        change: impl FnOnce(&mut VmRecord),
    ) -> Result<(), Refusal> {
        let mut record = self.record();
        let before = record.phase.clone();
        let facts = |record: &VmRecord| (record.booted, record.ephemeral);
        let known = facts(&record);
        change(&mut record);
        // Disks that never booted are made again, and VMs that nobody keeps are removed:
        // that this is so no longer must survive a power cut.
        let lasting = facts(&record) != known;
        if !before.may_become(&record.phase) {
            let (from, to) = (before.state(), record.phase.state());
            tracing::error!(vm = %record.name, %from, %to, "an impossible transition");
            record.phase = before;
        }
        let saved = self.save(record.clone(), lasting).await;
        if let Err(error) = &saved {
            tracing::error!(vm = %record.name, %error, "cannot save a record");
        }
        self.publish(record);
        saved
    }

    /// Tells everybody what the record says now.
    pub(super) fn publish(&self, record: VmRecord) {
        self.context.names.put(&record);
        self.published.send_replace(record);
    }

    /// Writes a record to the disk, as one that a power cut does not take back or not.
    pub(super) fn save(
        &self,
        record: VmRecord,
        lasting: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let context = self.context.clone();
        blocking(move || {
            let vms = &context.vms;
            let saved = if lasting { vms.save_lasting(&record) } else { vms.save(&record) };
            saved.map_err(|error| store_refusal(&error))
        })
    }
}
