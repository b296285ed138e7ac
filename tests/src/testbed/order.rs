//! An order to a machine that waits for one, and what comes of it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::machine::Machine;

/// How long a machine may need, beside what the order takes: to boot, to unpack, to tell its journal.
const PATIENCE: Duration = Duration::from_secs(180);
/// Lines of the console and of the journal that are shown.
const SHOWN: usize = 80;

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status; 124 when it took too long.
    Status(i32),
    /// The machine says nothing any more.
    Hung,
    /// The machine is gone.
    Crashed,
}

/// What came of an order.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// What the command printed.
    pub output: String,
    /// The machine's journal, when the command failed.
    pub journal: String,
}

impl Outcome {
    /// For people, with the end of the machine's console.
    pub fn told(&self, console: &str) -> String {
        let how = match self.ended {
            Ended::Status(124 | 137) => "it took too long and was ended".to_owned(),
            Ended::Status(status) => format!("it ended with status {status}"),
            Ended::Hung => "the machine hung, and was ended".to_owned(),
            Ended::Crashed => {
                "the machine ended by itself: its kernel crashed, or it was told to".to_owned()
            }
        };
        let mut told = format!("{how}\n--- it printed\n{}\n", self.output.trim_end());
        for (what, text) in [("the machine's journal", &*self.journal), ("its console", console)] {
            let lines: Vec<_> = text.trim_end().lines().collect();
            let first = lines.len().saturating_sub(SHOWN);
            let _memory = writeln!(told, "--- the end of {what}\n{}", lines[first..].join("\n"));
        }
        told
    }
}

impl Machine {
    /// Waits until a machine that boots says that it is ready, and in which state.
    pub(super) fn wait_until_ready(&mut self) -> Result<String> {
        let mut said = Vec::new();
        self.read_until(&mut said, Instant::now() + PATIENCE, |text| {
            text.lines().any(|line| line.starts_with("ready ")) && text.ends_with('\n')
        })?;
        let text = String::from_utf8_lossy(&said).into_owned();
        let state = text.lines().find_map(|line| line.strip_prefix("ready "));
        state.map(|state| state.trim().to_owned()).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Runs a line of shell as root, the last that a machine carries out.
    pub fn carry_out(&mut self, command: &str, limit: Duration) -> Outcome {
        self.order(&limit.as_secs().to_string(), command, limit)
    }

    /// Runs a line of shell as root, behind which the machine waits for an order again.
    pub(super) fn prepare(&mut self, command: &str, limit: Duration) -> Outcome {
        self.order("prepare", command, limit)
    }

    /// `how` is the limit in seconds, or one of the words that [`Self::ask`] knows.
    fn order(&mut self, how: &str, command: &str, limit: Duration) -> Outcome {
        let token = Uuid::new_v4().to_string();
        let mut said = Vec::new();
        let ended = format!("\n{token} ended ");
        let asked = self.ask(&token, how, command);
        let end = Instant::now() + limit + PATIENCE;
        let heard = asked.and_then(|()| {
            self.read_until(&mut said, end, |text| {
                text.rfind(&ended).is_some_and(|at| text[at + ended.len()..].contains('\n'))
            })
        });
        let said = String::from_utf8_lossy(&said).into_owned();
        let (said, status) = said.rsplit_once(&ended).unwrap_or((&said, ""));
        let (output, journal) =
            said.split_once(&format!("\n{token} journal\n")).unwrap_or((said, ""));
        let ended = match (heard, status.trim().parse()) {
            (Ok(()), Ok(status)) => Ended::Status(status),
            _ if self.ended().is_some() => Ended::Crashed,
            _ => Ended::Hung,
        };
        let mut output = output.to_owned();
        if ended == Ended::Hung {
            output = format!("{output}\n--- its processors\n{}", self.processors());
        }
        Outcome { ended, output, journal: journal.to_owned() }
    }

    /// Runs a line of shell as root on a terminal.
    ///
    /// # Errors
    /// What talking to the machine meets.
    pub fn terminal(&mut self, command: &str) -> Result<Terminal> {
        let token = Uuid::new_v4().to_string();
        self.ask(&token, "terminal", command)?;
        let stream = self.orders.try_clone()?;
        Ok(Terminal { stream, end: format!("\n{token} ended ").into_bytes(), held: Vec::new() })
    }

    /// Gives the order. `how` is its limit in seconds, `prepare` for one that is not the last, or
    /// `terminal` for one that a person talks with.
    fn ask(&mut self, token: &str, how: &str, command: &str) -> Result<()> {
        assert!(!command.contains('\n'), "an order is a line");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970");
        let order =
            format!("{token} {}.{:03} {how} {command}\n", now.as_secs(), now.subsec_millis());
        self.orders.write_all(order.as_bytes())
    }

    /// Reads on until what was read is `enough`, or `end`, or the machine's end.
    fn read_until(
        &mut self,
        said: &mut Vec<u8>,
        end: Instant,
        enough: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.orders.set_read_timeout(Some(left))?;
            match self.orders.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => said.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if enough(&String::from_utf8_lossy(said)) {
                return Ok(());
            }
        }
    }
}

/// A command that a person talks with.
#[derive(Debug)]
pub struct Terminal {
    stream: UnixStream,
    /// What comes behind the last that the command printed.
    end: Vec<u8>,
    held: Vec<u8>,
}

impl Terminal {
    /// The way to the command.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn stream(&self) -> Result<UnixStream> {
        self.stream.try_clone()
    }

    /// What the command prints next; `None` at its end or the machine's.
    ///
    /// # Errors
    /// What talking to the machine meets.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let ended = |held: &[u8], end: &[u8]| held.windows(end.len()).any(|part| part == end);
        while !ended(&self.held, &self.end) {
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(None);
            }
            self.held.extend(&buffer[..count]);
            // What may be the beginning of the end is not shown yet.
            let known = |start: &usize| self.end.starts_with(&self.held[*start..]);
            let first = self.held.len().saturating_sub(self.end.len());
            let shown = (first..self.held.len()).find(known).unwrap_or(self.held.len());
            if shown > 0 && !ended(&self.held, &self.end) {
                return Ok(Some(self.held.drain(..shown).collect()));
            }
        }
        let at = self.held.windows(self.end.len()).position(|part| part == self.end).unwrap_or(0);
        let last: Vec<u8> = self.held.drain(..at).collect();
        Ok((!last.is_empty()).then_some(last))
    }
}
