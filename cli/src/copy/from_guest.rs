//! From a guest to the host.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use banger_proto::{SshTarget, VmName};

use super::place::{GuestFile, base, means_content};
use super::unpack::{UnpackError, Unpacked, unpack};
use super::{CopyError, lines, words};
use crate::interrupt::Interrupts;
use crate::ssh::{Channel, Pipes};
use crate::terminal::Counter;

/// Copies from the guest to `target`, or into it where it is a folder.
pub(crate) async fn from_guest(
    vm: (&VmName, &SshTarget),
    source: &GuestFile,
    target: &Path,
    counter: Counter,
    interrupts: &mut Interrupts,
) -> Result<(Unpacked, Vec<String>), CopyError> {
    let place = HostPlace::of(source, target)?;
    let given = source.path().as_bytes();
    let (folder, member) = if means_content(given) {
        (source.path().to_owned(), OsString::from("."))
    } else {
        (source.parent(), OsString::from_vec(base(given).to_vec()))
    };
    let line = lines::send_tar(&folder, &member);
    let (channel, Pipes { input, output, errors }) = Channel::open(vm.0, vm.1, &line)?;
    drop(input);
    let said = tokio::task::spawn_blocking(move || words(errors));
    let got = tokio::task::spawn_blocking(move || {
        let mut output = io::BufReader::with_capacity(128 << 10, output);
        let unpacked =
            unpack(&mut output, member.as_bytes(), &place.folder, &place.name, |n| counter.add(n));
        if unpacked.is_ok() {
            // Zeros at the end of a tar are nobody's, and must not stop who writes them.
            let _ended = io::copy(&mut output.take(1 << 20), &mut io::sink());
        }
        unpacked
    });
    let ended = channel.end(interrupts).await;
    let got = got.await.map_err(|_lost| CopyError::Lost)?;
    let words = said.await.map_err(|_lost| CopyError::Lost)?;
    match (ended, got) {
        // What was asked for itself, and not something in it.
        (Ok(0), Ok(unpacked)) if unpacked.files == 0 && unpacked.folders == 0 => {
            let words = vec!["it is neither a file nor a folder".to_owned()];
            Err(CopyError::Guest { what: "the copy", words })
        }
        (_, Err(error @ (UnpackError::Write { .. } | UnpackError::Name(_)))) => Err(error.into()),
        (Err(error), _) => Err(error.into()),
        (Ok(0), got) => Ok((got?, Vec::new())),
        // What a live system writes meanwhile is no failure; tar itself goes on.
        (Ok(1), Ok(unpacked)) if only_changes(&words) => Ok((unpacked, words)),
        (Ok(_), _) => Err(CopyError::Guest { what: "the copy", words }),
    }
}

fn only_changes(words: &[String]) -> bool {
    !words.is_empty() && words.iter().all(|line| line.ends_with("file changed as we read it"))
}

/// Copies one file of the guest's to standard output.
pub(crate) async fn to_output(
    vm: (&VmName, &SshTarget),
    source: &GuestFile,
    interrupts: &mut Interrupts,
    mut take: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> Result<(), CopyError> {
    let line = lines::send_file(source.path());
    let (channel, Pipes { input, mut output, errors }) = Channel::open(vm.0, vm.1, &line)?;
    drop(input);
    let said = tokio::task::spawn_blocking(move || words(errors));
    let passed = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; 128 << 10];
        loop {
            match output.read(&mut buffer)? {
                0 => return Ok(()),
                length => take(buffer.get(..length).unwrap_or_default())?,
            }
        }
    });
    let ended = channel.end(interrupts).await;
    let passed: io::Result<()> = passed.await.map_err(|_lost| CopyError::Lost)?;
    let words = said.await.map_err(|_lost| CopyError::Lost)?;
    passed.map_err(CopyError::Stream)?;
    match ended? {
        0 => Ok(()),
        _ => Err(CopyError::Guest { what: "reading the file", words }),
    }
}

/// Where a copy goes on the host.
#[derive(Debug, PartialEq, Eq)]
struct HostPlace {
    folder: PathBuf,
    name: OsString,
}

impl HostPlace {
    /// `target` itself, or in it where it is a folder; content goes right into it.
    fn of(source: &GuestFile, target: &Path) -> Result<Self, CopyError> {
        let given = target.as_os_str().as_bytes();
        let source = source.path().as_bytes();
        let refused = |reason| CopyError::Target { path: target.to_owned(), reason };
        if target.is_dir() {
            let name: &[u8] = if means_content(source) { b"." } else { base(source) };
            return Ok(Self { folder: target.to_owned(), name: OsStr::from_bytes(name).into() });
        }
        if given.ends_with(b"/") && !target.exists() && !means_content(source) {
            return Err(refused("there is no such folder"));
        }
        let folder = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => return Err(refused("there is no folder to hold it")),
        };
        if !folder.is_dir() {
            return Err(refused("there is no folder to hold it"));
        }
        let name = target.file_name().ok_or_else(|| refused("it names no file"))?;
        Ok(Self { folder, name: name.to_owned() })
    }
}
