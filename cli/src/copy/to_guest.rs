//! From the host into a guest.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use banger_proto::{SshTarget, VmId, VmName};

use super::pack::{self, PackError, Packed, Packer};
use super::place::{GuestFile, means_content};
use super::{CopyError, lines, words};
use crate::interrupt::Interrupts;
use crate::ssh::Channel;
use crate::terminal::Counter;

/// What is copied.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file or a folder, or a link to one.
    Path(PathBuf),
    /// Standard input.
    Input,
}

/// Copies to `target` in the guest, or into it where it is a folder.
pub(crate) async fn to_guest(
    vm: (&VmName, &SshTarget),
    source: Source,
    target: &GuestFile,
    counter: Counter,
    interrupts: &mut Interrupts,
) -> Result<Packed, CopyError> {
    let (line, work) = prepare(source, target)?;
    let (channel, pipes) = Channel::open(vm.0, vm.1, &line)?;
    let said = tokio::task::spawn_blocking(move || words(pipes.errors));
    let sent = tokio::task::spawn_blocking(move || work.send(pipes.input, &|n| counter.add(n)));
    let ended = channel.end(interrupts).await;
    let sent = sent.await.map_err(|_lost| CopyError::Lost)?;
    let words = said.await.map_err(|_lost| CopyError::Lost)?;
    match (ended, sent) {
        // A file that cannot be read ends the stream early, and the guest only sees that.
        (_, Err(error @ PackError::Read { .. })) => Err(error.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(0), Ok(packed)) => Ok(packed),
        (Ok(0), Err(error)) => Err(error.into()),
        (Ok(_), _) => Err(CopyError::Guest { what: "the copy", words }),
    }
}

/// What is sent once the guest listens.
enum Work {
    Tree { path: PathBuf, itself: bool },
    File { path: PathBuf, content: File, size: u64 },
}

impl Work {
    fn send(self, mut pipe: impl Write, count: &dyn Fn(u64)) -> Result<Packed, PackError> {
        match self {
            Self::Tree { path, itself } => {
                let mut packer = Packer::new(io::BufWriter::with_capacity(128 << 10, pipe), count);
                packer.tree(&path, b".", itself)?;
                packer.finish()
            }
            Self::File { path, mut content, size } => {
                let mut left = size;
                let mut buffer = vec![0; 128 << 10];
                while left > 0 {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let part = buffer.get_mut(..most).unwrap_or_default();
                    let read = |source| PackError::Read { path: path.clone(), source };
                    let length = content.read(part).map_err(read)?;
                    if length == 0 {
                        let short = io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "it became shorter while it was read",
                        );
                        return Err(read(short));
                    }
                    let part = part.get(..length).unwrap_or_default();
                    pipe.write_all(part).map_err(PackError::Stream)?;
                    left -= length as u64;
                    count(length as u64);
                }
                Ok(Packed::default())
            }
        }
    }
}

/// The guest's line and what goes into it.
fn prepare(source: Source, target: &GuestFile) -> Result<(OsString, Work), CopyError> {
    let unique = VmId::random().to_string();
    let path = match source {
        Source::Path(path) => path,
        Source::Input => {
            // The guest is told how long it is, so that it knows a whole one.
            let path = PathBuf::from("standard input");
            let failed = |source| PackError::Read { path: path.clone(), source };
            let mut content = tempfile::tempfile().map_err(CopyError::Stream)?;
            let size = io::copy(&mut io::stdin().lock(), &mut content).map_err(failed)?;
            content.rewind().map_err(failed)?;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let mtime = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
            let line = lines::take_file((target.path(), None), size, 0o644, mtime, &unique);
            return Ok((line, Work::File { path, content, size }));
        }
    };
    let failed = |source| PackError::Read { path: path.clone(), source };
    let given = path.as_os_str().as_bytes();
    let content_meant = means_content(given);
    // A link that was named is followed; those in a folder are links there too.
    let is_link = path.is_symlink();
    let metadata = path.metadata().map_err(|source| {
        let nowhere = is_link && source.kind() == io::ErrorKind::NotFound;
        let leads_nowhere = || io::Error::new(source.kind(), "it is a link that leads nowhere");
        failed(if nowhere { leads_nowhere() } else { source })
    })?;
    let name = pack::name(&path).to_owned();
    let base = (!content_meant).then_some(name.as_os_str());
    let kind = metadata.file_type();
    if kind.is_dir() {
        let line = lines::take_tree(target.path(), base);
        let path = if is_link { path.join(".") } else { path };
        return Ok((line, Work::Tree { path, itself: !content_meant }));
    }
    if !kind.is_file() {
        let reason = "it is neither a file nor a folder";
        return Err(CopyError::Target { path, reason });
    }
    let content = File::open(&path).map_err(failed)?;
    let metadata = content.metadata().map_err(failed)?;
    let size = metadata.len();
    let (mode, mtime) = (metadata.mode() & 0o7777, metadata.mtime());
    let line = lines::take_file((target.path(), base), size, mode, mtime, &unique);
    Ok((line, Work::File { path, content, size }))
}
