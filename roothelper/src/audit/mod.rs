//! What root did: one entry a decision.
//!
//! An entry tells who asked (uid and pid of the socket), for what (call, VM, device, polkit's
//! action), what was decided and how long that took. It never holds the content of a file,
//! and what a client wrote is escaped and cut. Refusals, and calls that nobody has to decide
//! about, are limited for each uid, so that nobody drowns the others' entries; how many were
//! left out is told. Of what root did none is left out: whoever has very much of it done waits.

mod entry;
mod escape;
mod journal;
mod limiter;
mod pace;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger_proto::VmId;
use banger_proto::roothelper::Diskseq;

use crate::{Action, Caller, Method};

pub use entry::{Decision, Entry, Outcome, Subject};
pub use journal::Journal;
use limiter::{Limiter, Verdict};
use pace::Pace;

/// Where entries go.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Takes one. There is nobody to tell of a failure.
    fn write(&self, entry: &Entry);
}

/// The log, shared by all connections.
#[derive(Debug, Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: Box<dyn Sink>,
    limiter: Mutex<Limiter>,
    pace: Mutex<Pace>,
}

impl Audit {
    /// A log that ends in `sink`.
    #[must_use]
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            shared: Arc::new(Shared { sink, limiter: Mutex::default(), pace: Mutex::default() }),
        }
    }

    /// How long a call waits, if it does, whose entry must not be left out.
    #[must_use]
    pub fn turn(&self, caller: &Caller) -> Option<Duration> {
        let mut pace = self.shared.pace.lock().unwrap_or_else(PoisonError::into_inner);
        Some(pace.turn(caller.uid().get(), Instant::now())).filter(|wait| !wait.is_zero())
    }

    /// Begins the entry of a call. Whatever becomes of it, there will be one.
    #[must_use]
    pub fn begin(&self, caller: &Caller, method: Method) -> Pending {
        let subject = Subject { uid: caller.uid().get(), pid: Some(caller.pid().as_raw_pid()) };
        Pending {
            audit: self.clone(),
            begun: Instant::now(),
            entry: Some(Entry::new(subject, Some(method))),
        }
    }

    /// Tells of a peer who was not let in, or who asked for what is no call. What the kernel said of it may be all there is.
    pub fn refuse_peer(&self, uid: u32, pid: Option<i32>, why: &dyn std::error::Error) {
        let mut entry = Entry::new(Subject { uid, pid }, None);
        entry.decision = Decision::Refused;
        entry.reason = why.to_string();
        self.shared.write(entry);
    }
}

impl Shared {
    fn write(&self, mut entry: Entry) {
        if entry.is_limited() {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            match limiter.take(entry.subject.uid, Instant::now()) {
                Verdict::Pass { suppressed } => entry.suppressed = suppressed,
                Verdict::Suppress => return,
            }
        }
        self.sink.write(&entry);
    }
}

impl Drop for Shared {
    /// What was left out and could not be told with a later entry.
    fn drop(&mut self) {
        let limiter = self.limiter.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (uid, suppressed) in limiter.suppressed() {
            let mut entry = Entry::new(Subject { uid, pid: None }, None);
            entry.decision = Decision::Refused;
            entry.reason = "the helper ends".to_owned();
            entry.suppressed = suppressed;
            self.sink.write(&entry);
        }
    }
}

/// An entry whose decision is under way. Dropped without one, the caller left: that is told too.
#[derive(Debug)]
pub struct Pending {
    audit: Audit,
    begun: Instant,
    entry: Option<Entry>,
}

impl Pending {
    /// Which VM, and which of its devices, it is about.
    pub fn about(&mut self, vm: Option<VmId>, device: Option<Diskseq>) {
        if let Some(entry) = &mut self.entry {
            entry.vm = vm.map(|vm| vm.to_string());
            entry.device = device.map(Diskseq::get);
        }
    }

    /// What polkit is asked.
    pub fn asks(&mut self, action: Action) {
        if let Some(entry) = &mut self.entry {
            entry.action = Some(action);
        }
    }

    /// Nothing yet: the call goes on, and what is decided of it has an entry of its own.
    pub fn go_on(mut self) {
        self.entry = None;
    }

    /// It may.
    pub fn allow(mut self) {
        self.end(Decision::Allowed, "");
    }

    /// It may not, in one word or line of ours.
    pub fn refuse(mut self, reason: &str) {
        self.end(Decision::Refused, reason);
    }

    /// It may not, since it said something that cannot be: `said` is what the client wrote.
    pub fn refuse_said(mut self, reason: &str, said: &[u8]) {
        if let Some(entry) = &mut self.entry {
            entry.said = Some(escape::shown(said));
        }
        self.end(Decision::Refused, reason);
    }

    /// It was allowed before, and ended so: `why` may have words of a guest's in it.
    pub fn ended(mut self, outcome: Outcome, why: &str) {
        self.end(Decision::Ended(outcome), &escape::shown(why.as_bytes()));
    }

    fn end(&mut self, decision: Decision, reason: &str) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.decision = decision;
        entry.reason = reason.to_owned();
        entry.duration = self.begun.elapsed();
        self.audit.shared.write(entry);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(Decision::Abandoned, "caller-left");
    }
}

/// A log in memory, for tests.
#[cfg(any(test, feature = "simulated"))]
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<Entry>>>);

#[cfg(any(test, feature = "simulated"))]
impl Kept {
    /// What was written, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(any(test, feature = "simulated"))]
impl Sink for Kept {
    fn write(&self, entry: &Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
    }
}

#[cfg(test)]
mod tests;
