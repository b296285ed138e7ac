//! What the helper's verbs ask: read these files, change these.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::GuestPath;
use banger_proto::roothelper::{Ext4Found, Ext4Write, WriteBlame, WriteOutcome};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::death::{Death, Last, last};
use super::refusal::{Refusal, chain};
use super::request::Request;
use super::running::{Life, PATIENCE, ask};
use super::spawn::start;
use super::state::Touched;
use super::verdict::{Course, Seen, course, outcome};
use super::{Account, Device, Program, Role};

/// How long workers may take. All of a call is within the helper's 30 s: a batch, its end,
/// bringing the device up to date, and a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A look.
    pub read: Duration,
    /// A batch, which is followed by a look.
    pub write: Duration,
}

impl Deadlines {
    /// All that a batch may take: itself, its end, what it left unwritten, the look behind it, and
    /// the end of that.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.write + PATIENCE + self.read + self.read + PATIENCE
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { read: Duration::from_secs(6), write: Duration::from_secs(12) }
    }
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// No worker could be started.
    #[error("cannot start the ext4 worker")]
    NotStarted(#[source] io::Error),
    /// A worker could not be shut in, and so has looked at nothing.
    #[error("the ext4 worker cannot be shut in: {}", .0.join(": "))]
    NotShutIn(Vec<String>),
    /// The engine refuses.
    #[error("{}", .0.chain.join(": "))]
    Refused(Refusal),
    /// The worker died of what it read.
    #[error(transparent)]
    Died(#[from] Death),
}

/// Starts a worker for each question. One question at a time may be asked about a device:
/// see [`Device::reading`] for what to give into its care.
#[derive(Debug, Clone)]
pub struct Workers {
    program: Arc<Program>,
    account: Account,
    deadlines: Deadlines,
}

impl Workers {
    /// Workers of this program that become this user.
    #[must_use]
    pub fn new(program: Program, account: Account, deadlines: Deadlines) -> Self {
        Self { program: Arc::new(program), account, deadlines }
    }

    /// What is at each of these paths, in at most `limit` bytes of content and names. Goes
    /// on to its end though nobody waits for the answer.
    ///
    /// # Errors
    /// [`NotRead`].
    pub async fn read(
        &self,
        device: Device,
        paths: Vec<GuestPath>,
        limit: u64,
    ) -> Result<Vec<Ext4Found>, NotRead> {
        let ours = self.clone();
        let done = tokio::spawn(async move { ours.read_to_the_end(device, paths, limit).await });
        done.await.unwrap_or_else(|error| Err(NotRead::NotStarted(io::Error::other(error))))
    }

    async fn read_to_the_end(
        &self,
        device: Device,
        paths: Vec<GuestPath>,
        limit: u64,
    ) -> Result<Vec<Ext4Found>, NotRead> {
        let count = paths.len();
        let request = Request::Read { paths, limit }.message().map_err(NotRead::Refused)?;
        let largest = answer::largest(count, limit);
        let (said, last) = self.look(&device, &request, count, largest).await?;
        match (said.as_slice(), last) {
            (_, Last::NotShutIn(chain)) => Err(NotRead::NotShutIn(chain)),
            (_, Last::Died(death)) => Err(death.into()),
            ([], Last::Answered(Answer::Found(found))) => Ok(found),
            ([], Last::Answered(Answer::Refused(refusal))) => Err(NotRead::Refused(refusal)),
            (_, Last::Answered(_)) => Err(Death::Garbled("it answers another question").into()),
        }
    }

    /// Does all of these changes or none, and tells which by what the device holds then. Goes
    /// on to its end though nobody waits for the answer.
    pub async fn write(&self, device: Device, writes: Vec<Ext4Write>) -> WriteOutcome {
        let ours = self.clone();
        let done = tokio::spawn(async move { ours.write_to_the_end(device, writes).await });
        done.await.unwrap_or_else(|error| WriteOutcome::Unknown { chain: chain(&error) })
    }

    async fn write_to_the_end(&self, device: Device, writes: Vec<Ext4Write>) -> WriteOutcome {
        let not_begun = |chain| WriteOutcome::NotApplied { blame: WriteBlame::Host, chain };
        let Some(descriptor) = device.to_write() else {
            return not_begun(vec!["the device is open for reading alone".to_owned()]);
        };
        let touched = Touched::of(&writes);
        let count = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        let request = match (Request::Write { writes }).message() {
            Ok(request) => request,
            Err(Refusal { chain, .. }) => {
                return WriteOutcome::NotApplied { blame: WriteBlame::Request, chain };
            }
        };
        let largest = answer::largest_without_content();
        let deadline = self.deadlines.write;
        let life = self.run(Role::Write, descriptor, &request, (0, largest), deadline).await;
        let (said, last) = match life {
            Ok(life) => self.last(&device, life),
            Err(error) => return not_begun(chain(&NotRead::NotStarted(error))),
        };
        // While it is there, nobody else may look, and whether it writes is not known.
        if matches!(last, Last::Died(Death::Stuck)) {
            return WriteOutcome::Unknown { chain: vec![Death::Stuck.to_string()] };
        }
        match course(&said, last) {
            Course::NotBegun { blame, chain } => WriteOutcome::NotApplied { blame, chain },
            Course::Untold(chain) => WriteOutcome::Unknown { chain },
            Course::Begun(announced, ended) => {
                let seen = self.on_the_device(&device, touched).await;
                outcome(count, announced, &ended, seen)
            }
        }
    }

    /// What a fresh worker sees on the device itself.
    async fn on_the_device(&self, device: &Device, touched: Vec<Touched>) -> Seen {
        let request = match (Request::Look { touched }).message() {
            Ok(request) => request,
            Err(Refusal { chain, .. }) => return Seen::Nothing(chain),
        };
        // What a worker that was ended left unwritten may take the device a while.
        let ours = device.clone();
        let flushed = tokio::task::spawn_blocking(move || ours.look_past_the_cache());
        match timeout(self.deadlines.read, flushed).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => return Seen::Nothing(chain(&error)),
            Ok(Err(error)) => return Seen::Nothing(chain(&error)),
            Err(error) => return Seen::Nothing(chain(&error)),
        }
        let looked = self.look(device, &request, 0, answer::largest_without_content()).await;
        if let Err(error) = device.look_at_the_cache() {
            return Seen::Nothing(chain(&error));
        }
        match looked {
            Ok((said, Last::Answered(Answer::State(state)))) if said.is_empty() => {
                Seen::State(state)
            }
            Ok((_, Last::Answered(Answer::Refused(refusal)))) => Seen::Nothing(refusal.chain),
            Ok((_, Last::NotShutIn(chain))) => Seen::Nothing(chain),
            Ok((_, Last::Died(death))) => Seen::Nothing(vec![death.to_string()]),
            Ok((_, Last::Answered(_))) => Seen::Nothing(vec!["it answers nonsense".to_owned()]),
            Err(error) => Seen::Nothing(chain(&error)),
        }
    }

    async fn look(
        &self,
        device: &Device,
        request: &[u8],
        paths: usize,
        largest: usize,
    ) -> Result<(Vec<Answer>, Last), NotRead> {
        let deadline = self.deadlines.read;
        let life = self.run(Role::Read, device.to_read(), request, (paths, largest), deadline);
        Ok(self.last(device, life.await.map_err(NotRead::NotStarted)?))
    }

    async fn run(
        &self,
        role: Role,
        device: BorrowedFd<'_>,
        request: &[u8],
        (paths, largest): (usize, usize),
        deadline: Duration,
    ) -> io::Result<Life> {
        let started = start(&self.program, role, self.account, device, deadline)?;
        Ok(ask(started, request, paths, largest, deadline).await)
    }

    /// The last word of a worker. One that is not gone yet keeps the device until it is.
    fn last(&self, device: &Device, mut life: Life) -> (Vec<Answer>, Last) {
        let stuck = life.stuck.take();
        let (said, word) = last(life, stuck.is_some());
        if let Some(mut reaper) = stuck {
            let device = device.clone();
            tokio::spawn(async move {
                let _gone = reaper.wait().await;
                drop(device);
            });
        }
        (said, word)
    }
}
