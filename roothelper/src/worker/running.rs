//! A worker that was started: asked, listened to, ended, reaped.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::codec::Garbled;
use super::frame;
use super::spawn::Started;

/// How long a worker that was killed may take to be gone: one that waits for its device is
/// not before the device answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Most messages of a worker.
const MOST_ANSWERS: usize = 4;

/// What became of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It ended by itself, with this code.
    Exited(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was ended when its time was over.
    Deadline,
    /// It was ended for what it said.
    Garbled(&'static str),
    /// The operating system does not say.
    Lost,
}

/// All that a worker said, and its end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) answers: Vec<Answer>,
    pub(super) end: End,
    /// Still there: it waits for its device, and is gone when that answers.
    pub(super) stuck: Option<Reaper>,
}

/// Waits for a worker's end.
#[derive(Debug)]
pub(super) struct Reaper {
    child: Child,
    pidfd: OwnedFd,
}

impl Reaper {
    /// Returns once the worker is gone, and leaves nothing of it.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    fn kill(&self) {
        // It may be gone already.
        let _gone = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

/// Asks, and listens until the end, which comes at the deadline if not before.
pub(super) async fn ask(
    started: Started,
    request: &[u8],
    paths: usize,
    largest: usize,
    deadline: Duration,
) -> Life {
    let Started { child, pidfd, mut socket } = started;
    let mut reaper = Reaper { child, pidfd };
    let deadline = Instant::now() + deadline;
    let mut answers = Vec::new();
    let talk = async {
        // One that is gone by now says why by its end.
        let _gone = frame::send(&mut socket, request).await;
        loop {
            match frame::receive(&mut socket, largest).await {
                Ok(Some(_)) if answers.len() == MOST_ANSWERS => {
                    return Err(Garbled("it says too much"));
                }
                Ok(Some(message)) => answers.push(Answer::decode(&message, paths)?),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Garbled("a message is too long"));
                }
                Ok(None) => return Ok(false),
                // Its end says more than the message that it cut.
                Err(_) => return Ok(true),
            }
        }
    };
    let said = timeout_at(deadline, talk).await;
    let waited = match said {
        Ok(Ok(_)) => timeout_at(deadline, reaper.wait()).await.ok(),
        Ok(Err(_)) | Err(_) => None,
    };
    if let Some(waited) = waited {
        let end = match (said, end(&waited)) {
            (Ok(Ok(true)), End::Exited(0)) => End::Garbled("a message is cut short"),
            (_, end) => end,
        };
        return Life { answers, end, stuck: None };
    }
    let why = match said {
        Ok(Err(Garbled(why))) => End::Garbled(why),
        _ => End::Deadline,
    };
    reaper.kill();
    let stuck = timeout(PATIENCE, reaper.wait()).await.is_err().then_some(reaper);
    Life { answers, end: why, stuck }
}

fn end(waited: &io::Result<ExitStatus>) -> End {
    let Ok(status) = waited else { return End::Lost };
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Lost,
    }
}
