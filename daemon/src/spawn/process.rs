//! A process that may not be our child: its lasting name, its end, its killing.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The name of a process that no later process will ever have: its number, when
/// it began, and in which run of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process number.
    pub pid: u32,
    /// Clock ticks between the kernel's start and the process's (field 22 of
    /// `/proc/PID/stat`).
    pub start_ticks: u64,
    /// The kernel's run, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl ProcessId {
    /// The kernel's run.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn boot_id() -> io::Result<String> {
        Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }

    /// The name of the process that has this number now; `None` when none runs.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        let stat = match Stat::read(pid) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => None,
            stat => stat?,
        };
        let runs = stat.filter(|stat| !matches!(stat.state, 'Z' | 'X'));
        runs.map(|Stat { start_ticks, .. }| {
            Ok(Self { pid, start_ticks, boot_id: Self::boot_id()? })
        })
        .transpose()
    }

    /// Whether the process still runs.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn runs(&self) -> io::Result<bool> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }
}

/// What the `stat` file of a process says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: u32,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Option<Self>> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?))
    }

    /// The program's name stands in brackets and may itself hold brackets and spaces.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            start_ticks: fields.nth(17)?.parse().ok()?,
        })
    }
}

/// A process that is held: its number cannot mean another one.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Holds a process whose number is known to be right, such as a child of ours
    /// that was not waited for yet.
    ///
    /// # Errors
    /// When there is no such process, or no pidfd is to be had.
    pub fn hold(pid: u32) -> io::Result<Self> {
        let gone = || io::Error::from(Errno::SRCH);
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())?;
        let stat = Stat::read(pid).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => gone(),
            _ => error,
        })?;
        let start_ticks = stat.ok_or_else(gone)?.start_ticks;
        #[expect(
            deprecated,
            reason = "sound for an OwnedFd, which names one descriptor all its life; what replaces it needs unsafe code"
        )]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Self { id: ProcessId { pid, start_ticks, boot_id: ProcessId::boot_id()? }, pidfd })
    }

    /// Finds a process again, for example after a restart of the daemon. `None`
    /// when it has ended, even where another has its number now.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn find(id: &ProcessId) -> io::Result<Option<Self>> {
        let process = match Self::hold(id.pid) {
            Ok(process) => process,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                return Ok(None);
            }
            // A number that belongs to a thread now, or to nothing at all.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok((process.id == *id && !process.has_ended()).then_some(process))
    }

    /// Its lasting name.
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// A descriptor of it for somebody else, who sees by that when it has ended.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.pidfd.get_ref().try_clone()
    }

    /// What is known of it while it or its zombie is there.
    fn stat(&self) -> Option<Stat> {
        let stat = Stat::read(self.id.pid).ok().flatten()?;
        (stat.start_ticks == self.id.start_ticks).then_some(stat)
    }

    /// True once it has ended, waited for or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stat().is_none_or(|stat| matches!(stat.state, 'Z' | 'X'))
    }

    /// The number of its parent; none once it has ended.
    #[must_use]
    pub fn parent(&self) -> Option<u32> {
        self.stat().map(|stat| stat.parent)
    }

    /// The processes that it started and that still run, as far as they can be held.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| matches!(Stat::read(*pid), Ok(Some(stat)) if stat.parent == self.id.pid))
            .filter_map(|pid| Self::hold(pid).ok())
            .filter(|child| child.parent() == Some(self.id.pid))
            .collect()
    }

    /// Returns once it has ended.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn ended(&self) -> io::Result<()> {
        // A pidfd becomes readable at the end of the process and stays so.
        self.pidfd.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Sends a signal. That the process has ended already is no error.
    ///
    /// # Errors
    /// When the signal may not be sent.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.get_ref(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills it and returns once it has ended.
    ///
    /// # Errors
    /// When it may not be killed, or the kernel does not tell of its end.
    pub async fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_confuse() {
        let text = "7 (a) b) S) R 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 1";
        let stat = Stat { state: 'R', parent: 1, start_ticks: 4711 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (cut"), None);
        assert_eq!(Stat::parse("7 (a) R 1 2"), None);
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_name_and_not_by_its_number_alone() {
        let mut child = Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let held = Process::hold(child.id()).unwrap();
        let id = held.id().clone();
        assert!(Process::find(&id).unwrap().is_some());
        assert!(id.runs().unwrap());
        let other = ProcessId { start_ticks: id.start_ticks + 1, ..id.clone() };
        assert!(Process::find(&other).unwrap().is_none());
        let other = ProcessId { boot_id: "another".into(), ..id.clone() };
        assert!(Process::find(&other).unwrap().is_none());

        assert!(
            tokio::time::timeout(Duration::from_millis(50), held.ended()).await.is_err(),
            "it still runs"
        );
        held.kill().await.unwrap();
        // Nobody has waited for it: it is a zombie, and that is an ended process.
        assert!(held.has_ended());
        assert!(Process::find(&id).unwrap().is_none());
        assert!(!id.runs().unwrap());
        child.wait().unwrap();
        assert_eq!(ProcessId::of(id.pid).unwrap(), None);
        assert!(Process::find(&id).unwrap().is_none());
        held.signal(Signal::KILL).unwrap();
        held.ended().await.unwrap();
    }
}
