//! One `ssh` that runs: started, waited for, and how it ended.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use banger_proto::{SshSession, SshTarget, VmName, ssh_arguments};
use rustix::fs::MemfdFlags;
use tokio::process::{Child, Command};

use crate::interrupt::{Interrupts, Signal};

/// Why a session with a guest did not come about, or was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// The program is missing.
    #[error("cannot start ssh")]
    Start(#[source] io::Error),
    /// Something of this process's own failed.
    #[error("cannot prepare a session with {vm}")]
    Prepare { vm: VmName, source: io::Error },
    /// The guest was not reached, or was lost; `words` are ssh's own.
    #[error("the connection to {vm} failed")]
    Connection { vm: VmName, words: Vec<String> },
    /// The guest would not take the variables of a command.
    #[error("the guest does not take the environment of the command")]
    Variables { words: Vec<String> },
    /// Asked to end while the session lasted.
    #[error("interrupted by {0}")]
    Interrupted(Signal),
}

/// Exit code with which ssh tells that it failed itself, or that the command said so.
const SSH_FAILED: u8 = 255;

/// How long ssh may take to end once it was told to.
const ENDING: Duration = Duration::from_secs(5);

/// A line of the guest's shell that runs, or a login shell. It ends with this value.
#[derive(Debug)]
pub(crate) struct Channel {
    vm: VmName,
    child: Child,
    /// What ssh itself says.
    log: File,
}

/// The streams of a line that runs in a guest. They block: each is a thread's.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// What it reads.
    pub(crate) input: PipeWriter,
    /// What it writes.
    pub(crate) output: PipeReader,
    /// What it says of errors.
    pub(crate) errors: PipeReader,
}

/// A file without a name for what ssh itself says.
fn log() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("ssh-log", MemfdFlags::CLOEXEC)?.into())
}

impl Channel {
    /// Begins a session whose streams are this process's own.
    pub(super) fn begin(
        vm: &VmName,
        target: &SshTarget,
        session: SshSession<'_>,
    ) -> Result<Self, SshError> {
        let log = log().map_err(|source| SshError::Prepare { vm: vm.clone(), source })?;
        let streams = [Stdio::inherit(), Stdio::inherit(), Stdio::inherit()];
        Self::start(vm, target, session, log, streams)
    }

    /// Runs a line of the guest's shell, with pipes to all its streams.
    pub(crate) fn open(
        vm: &VmName,
        target: &SshTarget,
        line: &OsStr,
    ) -> Result<(Self, Pipes), SshError> {
        let prepare = |source| SshError::Prepare { vm: vm.clone(), source };
        let session = SshSession { line: Some(line), escapes: false, terminal: false };
        let (stdin, input) = io::pipe().map_err(prepare)?;
        let (output, stdout) = io::pipe().map_err(prepare)?;
        let (errors, stderr) = io::pipe().map_err(prepare)?;
        let streams = [stdin.into(), stdout.into(), stderr.into()];
        let log = log().map_err(prepare)?;
        let channel = Self::start(vm, target, session, log, streams)?;
        Ok((channel, Pipes { input, output, errors }))
    }

    fn start(
        vm: &VmName,
        target: &SshTarget,
        session: SshSession<'_>,
        log: File,
        [stdin, stdout, stderr]: [Stdio; 3],
    ) -> Result<Self, SshError> {
        // ssh opens our own descriptor anew: a file without a name leaves nothing behind.
        let log_name = format!("/proc/{}/fd/{}", std::process::id(), log.as_raw_fd());
        let child = Command::new("ssh")
            .args(ssh_arguments(target, session, log_name.as_ref()))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(SshError::Start)?;
        Ok(Self { vm: vm.clone(), child, log })
    }

    /// Waits for its end: the exit code of what ran in the guest.
    pub(crate) async fn end(mut self, interrupts: &mut Interrupts) -> Result<u8, SshError> {
        let prepare = |source| SshError::Prepare { vm: self.vm.clone(), source };
        let status = wait(&mut self.child, interrupts).await.map_err(prepare)??;
        let mut words = String::new();
        self.log.rewind().and_then(|()| self.log.read_to_string(&mut words)).map_err(prepare)?;
        judge(&self.vm, status, &words)
    }
}

/// Waits for ssh. `^C` in a terminal reaches ssh or the guest by itself: it is only kept
/// from ending this process first. Other signals are for this process, and end ssh.
async fn wait(
    child: &mut Child,
    interrupts: &mut Interrupts,
) -> io::Result<Result<ExitStatus, SshError>> {
    let mut interrupted = None;
    loop {
        let signal = tokio::select! {
            status = child.wait() => {
                let status = status?;
                return Ok(match interrupted {
                    // It ended because of the signal and not on its own.
                    Some(signal) if status.code() == Some(SSH_FAILED.into())
                        || status.signal().is_some() => Err(SshError::Interrupted(signal)),
                    _ => Ok(status),
                });
            }
            signal = interrupts.next() => signal,
        };
        interrupted = Some(signal);
        if signal != Signal::Int {
            return end(child, signal).await;
        }
    }
}

/// Ends ssh, with force when it does not hear.
async fn end(child: &mut Child, signal: Signal) -> io::Result<Result<ExitStatus, SshError>> {
    let asked = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
        .map(|id| rustix::process::kill_process(id, rustix::process::Signal::TERM));
    let ended = tokio::time::timeout(ENDING, child.wait()).await;
    if !matches!((asked, ended), (Some(Ok(())), Ok(Ok(_)))) {
        child.kill().await?;
    }
    Ok(Err(SshError::Interrupted(signal)))
}

/// The exit code of what ran in the guest; ssh's own 255 is told apart by its log.
fn judge(vm: &VmName, status: ExitStatus, log: &str) -> Result<u8, SshError> {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => return Ok(signal_code(signal.unwrap_or_default())),
    };
    let own_word = |line: &&str| line.contains("client_loop():");
    let the_commands_own = log.lines().any(|line| line.ends_with("Exit status 255"));
    if code != SSH_FAILED || the_commands_own || log.is_empty() {
        return Ok(code);
    }
    let words = log.lines().filter(|line| !own_word(line)).map(str::to_owned).collect();
    Err(SshError::Connection { vm: vm.clone(), words })
}

/// The exit code for a death by signal, as shells have it.
fn signal_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(raw: i32, log: &str) -> Result<u8, SshError> {
        judge(&"web".parse().unwrap(), ExitStatus::from_raw(raw), log)
    }

    #[test]
    fn exit_codes_pass_through() {
        assert_eq!(judged(0, "").unwrap(), 0);
        assert_eq!(judged(7 << 8, "").unwrap(), 7);
        assert_eq!(judged(137 << 8, "").unwrap(), 137);
        assert_eq!(judged(9, "").unwrap(), 137, "ssh itself was killed");
    }

    #[test]
    fn a_commands_own_255_is_told_from_a_lost_connection() {
        let own = "debug1: clientloop.c:client_loop():1531 (pid=1): Exit status 255\n";
        assert_eq!(judged(255 << 8, own).unwrap(), 255);
        let lost = "debug1: clientloop.c:client_loop():1531 (pid=1): Exit status -1\n";
        assert!(matches!(judged(255 << 8, lost), Err(SshError::Connection { .. })));
        match judged(255 << 8, "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n") {
            Err(SshError::Connection { words, .. }) => {
                assert_eq!(words, ["ssh: connect to host 127.0.0.1 port 1: Connection refused"]);
            }
            other => panic!("{other:?}"),
        }
    }
}
