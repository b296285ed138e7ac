//! QEMU's control socket: one JSON document a line.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::connecting;
use super::spec::Files;

/// The longest line that is read. QEMU's answers to our questions are far shorter.
const LONGEST_LINE: u64 = 1 << 20;
/// Events that are kept.
const MOST_EVENTS: usize = 256;
/// How long a QEMU that runs may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question to QEMU that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket cannot be reached, or the connection ended.
    #[error("the VMM's control socket does not answer")]
    Io(#[from] io::Error),
    /// What came is not what QEMU says.
    #[error("the VMM's control socket says something unexpected: {0}")]
    Protocol(String),
    /// QEMU refused.
    #[error("the VMM refused {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        reason: String,
    },
    /// No answer in time.
    #[error("the VMM's control socket did not answer in time")]
    TimedOut,
}

/// Calls `act` with a short path of `name` in `directory`. An address of a unix
/// socket holds 107 bytes, which a path of a state directory may well exceed; by
/// way of an open directory it is always short.
///
/// # Errors
/// When the directory cannot be opened, and those of `act`.
pub fn with_short_path<T>(
    directory: &Path,
    name: &str,
    act: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let (_folder, short) = short_path(directory, name)?;
    act(&short)
}

/// The path, and what it leads by way of: it is good for as long as that is open.
fn short_path(directory: &Path, name: &str) -> io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(directory, flags, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, short))
}

/// A connection on which commands are accepted.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    events: Vec<Event>,
    patience: Duration,
}

/// Something QEMU tells unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `SHUTDOWN`, `POWERDOWN`, `RESET`, ...
    pub name: String,
}

impl Qmp {
    /// Connects to the control socket of the VM whose files these are, and
    /// negotiates. QEMU serves one connection at a time; others wait.
    ///
    /// # Errors
    /// [`QmpError`]; [`QmpError::Io`] when no QEMU listens there.
    pub async fn connect(files: &Files) -> Result<Self, QmpError> {
        Self::connect_in(files, PATIENCE).await
    }

    /// The same to a QEMU that is being started: on a host with much to do it may take so long
    /// for its first answers.
    ///
    /// # Errors
    /// As [`Qmp::connect`].
    pub async fn connect_in(files: &Files, patience: Duration) -> Result<Self, QmpError> {
        let (_folder, path) = short_path(files.directory(), Files::CONTROL)?;
        let stream = connecting::connect(&path, patience).await?;
        let mut qmp = Self::negotiate(stream, patience).await?;
        qmp.patience = PATIENCE;
        Ok(qmp)
    }

    async fn negotiate(stream: UnixStream, patience: Duration) -> Result<Self, QmpError> {
        let (reader, writer) = stream.into_split();
        let mut qmp = Self { reader: BufReader::new(reader), writer, events: Vec::new(), patience };
        let greeting = qmp.line_in_time().await?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Protocol(greeting.to_string()));
        }
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    async fn line(&mut self) -> Result<Value, QmpError> {
        let mut line = Vec::new();
        let count = (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_slice(&line).map_err(|error| QmpError::Protocol(error.to_string()))
    }

    async fn line_in_time(&mut self) -> Result<Value, QmpError> {
        tokio::time::timeout(self.patience, self.line()).await.map_err(|_| QmpError::TimedOut)?
    }

    /// Runs one command and returns what it says. Events that come in between are
    /// kept for [`Qmp::event`].
    ///
    /// # Errors
    /// [`QmpError::Refused`] with QEMU's reason, and failures of the connection.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut text = json!({ "execute": command, "arguments": arguments }).to_string();
        text.push('\n');
        self.writer.write_all(text.as_bytes()).await?;
        loop {
            let mut answer = self.line_in_time().await?;
            if let Some(event) = Event::from(&answer) {
                // Who waits for one does so soon; a QEMU that its guest took over never ends.
                if self.events.len() < MOST_EVENTS {
                    self.events.push(event);
                }
            } else if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            } else if let Some(error) = answer.get("error") {
                let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                return Err(QmpError::Refused {
                    command: command.to_owned(),
                    reason: reason.to_owned(),
                });
            } else {
                return Err(QmpError::Protocol(answer.to_string()));
            }
        }
    }

    /// The next event, however long it takes.
    ///
    /// # Errors
    /// Failures of the connection: QEMU's end is one.
    pub async fn event(&mut self) -> Result<Event, QmpError> {
        loop {
            if !self.events.is_empty() {
                return Ok(self.events.remove(0));
            }
            if let Some(event) = Event::from(&self.line().await?) {
                return Ok(event);
            }
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// See [`Qmp::execute`].
    pub async fn press_power_button(&mut self) -> Result<(), QmpError> {
        self.execute("system_powerdown", json!({})).await.map(drop)
    }

    /// Presses ctrl-alt-delete, which init takes for a request to restart; the VMM
    /// ends instead of restarting. Guests without a program that watches the power
    /// button understand it.
    ///
    /// # Errors
    /// See [`Qmp::execute`].
    pub async fn press_ctrl_alt_delete(&mut self) -> Result<(), QmpError> {
        let keys: Vec<_> = ["ctrl", "alt", "delete"]
            .iter()
            .map(|key| json!({ "type": "qcode", "data": key }))
            .collect();
        self.execute("send-key", json!({ "keys": keys })).await.map(drop)
    }

    /// What the VM does: `running`, `paused`, `shutdown`, `internal-error`, ...
    ///
    /// # Errors
    /// See [`Qmp::execute`].
    pub async fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.execute("query-status", json!({})).await?;
        answer
            .get("status")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| QmpError::Protocol(answer.to_string()))
    }

    /// Ends QEMU at once, without a word to the guest. What the guest had flushed
    /// is on its disks.
    ///
    /// # Errors
    /// See [`Qmp::execute`].
    pub async fn quit(&mut self) -> Result<(), QmpError> {
        self.execute("quit", json!({})).await.map(drop)
    }
}

impl Event {
    fn from(line: &Value) -> Option<Self> {
        line.get("event").and_then(Value::as_str).map(|name| Self { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that says `lines`, one after each line it is told, the first unasked.
    async fn told(lines: &'static [&'static str]) -> Result<Qmp, QmpError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut reader = BufReader::new(reader).lines();
            for line in lines {
                writer.write_all(line.as_bytes()).await.unwrap();
                writer.write_all(b"\r\n").await.unwrap();
                if reader.next_line().await.unwrap().is_none() {
                    return;
                }
            }
        });
        Qmp::negotiate(ours, PATIENCE).await
    }

    #[tokio::test]
    async fn answers_events_and_refusals_are_told_apart() {
        let mut qmp = told(&[
            r#"{"QMP": {"version": {}, "capabilities": []}}"#,
            r#"{"return": {}}"#,
            "{\"event\": \"RESUME\"}\r\n{\"return\": {\"status\": \"running\"}}",
            r#"{"error": {"class": "CommandNotFound", "desc": "no such thing"}}"#,
        ])
        .await
        .unwrap();
        assert_eq!(qmp.status().await.unwrap(), "running");
        assert_eq!(qmp.event().await.unwrap().name, "RESUME");
        let error = qmp.quit().await.unwrap_err();
        assert_eq!(error.to_string(), "the VMM refused quit: no such thing");
        assert!(matches!(qmp.status().await, Err(QmpError::Io(_))), "the connection has ended");
    }

    #[tokio::test]
    async fn one_that_is_slow_to_greet_is_waited_for_as_long_as_is_said() {
        for (patience, greets) in [(50, false), (60_000, true)] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let slow = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                // Nobody may hear it any more.
                let _heard = theirs.write_all(b"{\"QMP\": {}}\r\n{\"return\": {}}\r\n").await;
            };
            let patience = Duration::from_millis(patience);
            let (qmp, ()) = tokio::join!(Qmp::negotiate(ours, patience), slow);
            assert_eq!(qmp.is_ok(), greets, "{qmp:?}");
            assert!(greets || matches!(qmp, Err(QmpError::TimedOut)), "{qmp:?}");
        }
    }

    #[tokio::test]
    async fn another_speaker_is_noticed() {
        assert!(matches!(told(&["SSH-2.0-x"]).await, Err(QmpError::Protocol(_))));
        assert!(matches!(told(&[r#"{"event": "X"}"#]).await, Err(QmpError::Protocol(_))));
    }

    #[test]
    fn a_deep_directory_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let listener =
            with_short_path(&deep, "s", |p| std::os::unix::net::UnixListener::bind(p)).unwrap();
        with_short_path(&deep, "s", |p| std::os::unix::net::UnixStream::connect(p)).unwrap();
        listener.accept().unwrap();
        assert!(deep.join("s").exists());
    }
}
