//! The daemon's end of the import worker: starts it, feeds it, hears it out.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use banger_proto::{Code, Image, Refusal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin};

use super::worker_protocol::{Blame, LONGEST, Line};
use crate::progress::Teller;
use crate::spawn::{Launch, Started};
use crate::verb::{FREE_SPACE, OnHost};

/// The argument that makes this program the worker.
pub const ARGUMENT: &str = "import-worker";

/// A worker, killed with everything it started when it is dropped unfinished.
#[derive(Debug)]
pub(super) struct Worker {
    started: Started,
    stderr: Option<ChildStderr>,
    over: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.over {
            self.started.kill_group();
        }
    }
}

impl Worker {
    /// Starts a worker that fills the disk at `rootfs`, which is made with `size` bytes,
    /// from the tar that `input` gives.
    pub(super) fn start(rootfs: &Path, size: u64, input: Stdio) -> Result<Self, Refusal> {
        let disk = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(rootfs)
            .and_then(|disk| disk.set_len(size).map(|()| disk))
            .on_host("make the disk of the image")?;
        let mut started = Launch::this_program("bangerd")
            .arguments([ARGUMENT])
            .stdin(input)
            .stdout(disk)
            .stderr(Stdio::piped())
            .start()
            .map_err(|error| Refusal::from_error(Code::Internal, &error))?;
        let stderr = started.child.stderr.take();
        Ok(Self { started, stderr, over: false })
    }

    /// The end of the pipe into a worker that is fed.
    pub(super) fn stdin(&mut self) -> Option<ChildStdin> {
        self.started.child.stdin.take()
    }

    /// Hears the worker out: passes its progress on, and returns what it ended with.
    pub(super) async fn finish(
        mut self,
        teller: &Teller<Image>,
        total: Option<u64>,
    ) -> Result<(), Refusal> {
        let mut ended = None;
        if let Some(stderr) = self.stderr.take() {
            let mut lines = BufReader::new(stderr);
            while let Some(line) = next_line(&mut lines).await {
                match line {
                    Line::Confined { walls, missing } => {
                        tracing::debug!(?walls, ?missing, "import worker");
                        for wall in missing {
                            teller.notice(format!("the import is without a wall: {wall}"));
                        }
                    }
                    Line::Progress { bytes } => teller.progress(bytes, total),
                    line @ (Line::Done { .. } | Line::Failed { .. }) => ended = Some(line),
                }
            }
        }
        let status = self.started.child.wait().await.on_host("wait for the import to end")?;
        self.over = true;
        match ended {
            Some(Line::Done { entries, bytes }) if status.success() => {
                tracing::info!(entries, bytes, "took a root filesystem in");
                teller.progress(bytes, Some(bytes));
                Ok(())
            }
            Some(Line::Failed { chain, blame }) => Err(failed(chain, blame)),
            _ => Err(Refusal::new(Code::Internal, format!("the import ended with {status}"))
                .hint("the tar may be made to break programs; where does it come from?")),
        }
    }
}

fn failed(chain: Vec<String>, blame: Blame) -> Refusal {
    let (code, hint) = match blame {
        Blame::Tar => (
            Code::InvalidArgument,
            "is it a whole, uncompressed tar of a root filesystem? nothing was kept",
        ),
        Blame::Image => (Code::ResourceExhausted, "choose a larger root filesystem with --size"),
        Blame::HostFull => (Code::ResourceExhausted, FREE_SPACE),
        Blame::Host => (Code::Internal, "see what the kernel says of the host's disk: dmesg"),
    };
    let mut chain = chain.into_iter();
    let message = chain.next().unwrap_or_else(|| "the import failed".to_owned());
    Refusal { chain: chain.collect(), ..Refusal::new(code, message) }.hint(hint)
}

/// The next line that makes sense; `None` at the end.
async fn next_line(lines: &mut BufReader<ChildStderr>) -> Option<Line> {
    loop {
        let mut text = Vec::new();
        let count = (&mut *lines).take(LONGEST as u64).read_until(b'\n', &mut text).await.ok()?;
        if count == 0 {
            return None;
        }
        match Line::parse(&text) {
            Some(line) => return Some(line),
            None => tracing::warn!(text = %text.escape_ascii(), "import worker"),
        }
    }
}
