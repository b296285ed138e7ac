//! bangerd's program at work on an image that this process has opened: so it has the rights of
//! who typed the command and no more, and needs no daemon.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

use banger_proto::{Code, Ext4Blame, Ext4Line, Refusal};
use rustix::fs::{Mode, OFlags, open};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};

use crate::bangerd::{self, DaemonError};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// What an image is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Change,
}

/// The worker, and what it tells.
pub(super) struct Worker {
    child: tokio::process::Child,
    lines: BufReader<ChildStderr>,
    terminal: Terminal,
    failed: Option<Refusal>,
}

/// Opens an image.
pub(super) fn image(path: &Path, how: Use) -> Result<File, Failure> {
    let access = if how == Use::Change { OFlags::RDWR } else { OFlags::RDONLY };
    // Should it be a pipe, nobody waits for its other end.
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(image) => Ok(image.into()),
        Err(error) => Err(Failure::Image { path: path.to_owned(), source: error.into() }),
    }
}

impl Worker {
    /// Starts it with a request. `other` is its standard output: where content goes, a folder,
    /// or what is put into the image.
    pub(super) fn start(
        terminal: Terminal,
        image: File,
        request: &[&OsStr],
        other: Stdio,
    ) -> Result<Self, Failure> {
        if rustix::process::geteuid().is_root() {
            return Err(DaemonError::Root.into());
        }
        let program = bangerd::program().map_err(|searched| DaemonError::NotFound { searched })?;
        let mut child = Command::new(&program)
            .arg("ext4-worker")
            .args(request)
            .env_clear()
            .envs(bangerd::environment())
            .current_dir("/")
            .stdin(image)
            .stdout(other)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| DaemonError::Spawn { program, source })?;
        let Some(lines) = child.stderr.take() else {
            return Err(Failure::Begin(io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { child, lines: BufReader::new(lines), terminal, failed: None })
    }

    /// Its standard output, where that is a pipe.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What it tells next, notes and failures apart; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Ext4Line> {
        loop {
            let mut text = Vec::new();
            let mut lines = (&mut self.lines).take(Ext4Line::LONGEST as u64);
            if lines.read_until(b'\n', &mut text).await.ok()? == 0 {
                return None;
            }
            match Ext4Line::parse(&text) {
                Some(Ext4Line::Note { text }) => self.terminal.note(&text),
                Some(Ext4Line::Failed { chain, hint, blame }) => {
                    self.failed = Some(refusal(chain, hint, blame));
                }
                Some(line) => return Some(line),
                None => {}
            }
        }
    }

    /// Waits for its end. What was told and not yet heard is heard before.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        while self.next().await.is_some() {}
        let status = self.child.wait().await.map_err(Failure::Begin)?;
        match self.failed {
            Some(refusal) => Err(refusal.into()),
            None if status.success() => Ok(()),
            None => {
                let message = format!("the work on the image ended with {status}");
                let refusal = Refusal::new(Code::Internal, message);
                Err(refusal.hint("is bangerd of the same version as banger? banger version").into())
            }
        }
    }
}

fn refusal(chain: Vec<String>, hint: String, blame: Ext4Blame) -> Refusal {
    let code = match blame {
        Ext4Blame::NotFound => Code::NotFound,
        Ext4Blame::Request => Code::InvalidArgument,
        Ext4Blame::Image => Code::FailedPrecondition,
        Ext4Blame::Damage => Code::DataLoss,
        Ext4Blame::Space => Code::ResourceExhausted,
        Ext4Blame::Host => Code::Unavailable,
    };
    let mut chain = chain.into_iter();
    let message = chain.next().unwrap_or_default();
    Refusal { chain: chain.collect(), ..Refusal::new(code, message) }.hint(hint)
}

/// Has the worker do one thing, and gives back the last that it told.
pub(super) async fn ask(
    terminal: Terminal,
    image: File,
    request: &[&OsStr],
    other: Stdio,
) -> Result<Option<Ext4Line>, Failure> {
    let mut worker = Worker::start(terminal, image, request, other)?;
    let mut last = None;
    while let Some(line) = worker.next().await {
        last = Some(line);
    }
    worker.end().await?;
    Ok(last)
}
