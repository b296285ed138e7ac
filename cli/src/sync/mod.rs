//! One-way copies that are repeated: only what differs crosses.

mod listing;
mod plan;

use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use banger_proto::{SshTarget, VmId, VmName};

use crate::copy::place::GuestFile;
use crate::copy::{CopyError, Line, PackError, Packed, Packer, words};
use crate::interrupt::Interrupts;
use crate::ssh::{Channel, Pipes};
use crate::terminal::Counter;

pub(crate) use plan::Plan;

/// Largest listing that is taken from a guest, in bytes.
const LISTING: u64 = 512 << 20;

/// A guest's copy of a folder of the host's.
pub(crate) struct Mirror<'a> {
    pub(crate) vm: (&'a VmName, &'a SshTarget),
    pub(crate) host: PathBuf,
    pub(crate) guest: &'a GuestFile,
    pub(crate) interrupts: &'a mut Interrupts,
}

impl Mirror<'_> {
    /// What has to be done, by a look at both sides.
    pub(crate) async fn plan(&mut self, delete: bool) -> Result<Plan, CopyError> {
        let token = VmId::random().to_string();
        let line = listing::line(self.guest.path(), &token);
        let (channel, Pipes { input, output, errors }) =
            Channel::open(self.vm.0, self.vm.1, &line)?;
        drop(input);
        let said = tokio::task::spawn_blocking(move || words(errors));
        let listed = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            output.take(LISTING).read_to_end(&mut text).map(|_length| text)
        });
        let folder = self.host.clone();
        let host = tokio::task::spawn_blocking(move || listing::of_host(&folder));
        let ended = channel.end(self.interrupts).await;
        let text = listed.await.map_err(|_lost| CopyError::Lost)?;
        let words = said.await.map_err(|_lost| CopyError::Lost)?;
        if ended? != 0 {
            return Err(CopyError::Guest { what: "the listing", words });
        }
        let guest = text.and_then(|text| listing::of_guest(&text, &token));
        let guest = guest.map_err(CopyError::Listing)?;
        let host = host.await.map_err(|_lost| CopyError::Lost)??;
        Ok(plan::plan(&host, &guest, delete))
    }

    /// Does it.
    pub(crate) async fn carry_out(
        &mut self,
        plan: &Plan,
        counter: Counter,
    ) -> Result<Packed, CopyError> {
        if !plan.remove.is_empty() {
            let names = names(&plan.remove);
            let line = Line::default()
                .text("cd -- ")
                .word(self.guest.path())
                .text(" && exec xargs -0 rm -rf --")
                .end();
            self.run("the removal", &line, move |mut pipe| {
                pipe.write_all(&names).map_err(PackError::Stream)?;
                Ok(Packed::default())
            })
            .await?;
        }
        let line = Line::default()
            .text("mkdir -p -- ")
            .word(self.guest.path())
            .text(" && cd -- ")
            .word(self.guest.path())
            .text(" && { command -v tar >/dev/null || { echo 'the guest has no tar' >&2; exit 1; }; }")
            .text(" && exec tar -xpf -")
            .end();
        let (host, send) = (self.host.clone(), plan.send.clone());
        let before = recent();
        self.run("the copy", &line, move |pipe| {
            let count = |bytes| counter.add(bytes);
            let pipe = BufWriter::with_capacity(128 << 10, pipe);
            let mut packer = Packer::new(pipe, &count).older_than(before);
            for name in send {
                let path = host.join(Path::new(std::ffi::OsStr::from_bytes(&name)));
                packer.one(&path, &[b"./", name.as_slice()].concat())?;
            }
            packer.finish()
        })
        .await
    }

    /// Runs a line in the guest and gives it what `send` writes.
    async fn run(
        &mut self,
        what: &'static str,
        line: &std::ffi::OsStr,
        send: impl FnOnce(io::PipeWriter) -> Result<Packed, PackError> + Send + 'static,
    ) -> Result<Packed, CopyError> {
        let (channel, Pipes { input, output, errors }) = Channel::open(self.vm.0, self.vm.1, line)?;
        drop(output);
        let said = tokio::task::spawn_blocking(move || words(errors));
        let sent = tokio::task::spawn_blocking(move || send(input));
        let ended = channel.end(self.interrupts).await;
        let sent = sent.await.map_err(|_lost| CopyError::Lost)?;
        let words = said.await.map_err(|_lost| CopyError::Lost)?;
        match (ended, sent) {
            (_, Err(error @ PackError::Read { .. })) => Err(error.into()),
            (Err(error), _) => Err(error.into()),
            (Ok(0), sent) => Ok(sent?),
            (Ok(_), _) => Err(CopyError::Guest { what, words }),
        }
    }
}

/// Names for `xargs -0`.
fn names(names: &[Vec<u8>]) -> Vec<u8> {
    names.iter().flat_map(|name| [b"./", name.as_slice(), b"\0"].concat()).collect()
}

/// The second before this one. What was changed since may be changed again in the same second,
/// and must not look the same then.
fn recent() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) - 1
}
