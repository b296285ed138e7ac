//! Copying between the host and a guest, through ssh: tars for folders, single files as they
//! are. What comes from a guest is unpacked by code of ours; see [`unpack`].

mod from_guest;
mod lines;
mod pack;
pub(crate) mod place;
mod tar_reader;
mod tar_writer;
mod to_guest;
mod unpack;

use std::io::{self, Read};
use std::path::PathBuf;

pub(crate) use from_guest::{from_guest, to_output};
pub(crate) use lines::Line;
pub(crate) use pack::{PackError, Packed, Packer};
pub(crate) use to_guest::{Source, to_guest};
pub(crate) use unpack::UnpackError;

use crate::ssh::SshError;

/// Why something was not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// A file of the host's cannot be read, or the guest took no more.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What the guest sent could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The guest said no; its words.
    #[error("{what} failed in the guest")]
    Guest { what: &'static str, words: Vec<String> },
    /// The target on the host is nothing that the source can become.
    #[error("{}: {reason}", path.display())]
    Target { path: PathBuf, reason: &'static str },
    /// What the guest says it has cannot be understood.
    #[error("the guest's listing cannot be read")]
    Listing(#[source] io::Error),
    /// Standard input or output failed.
    #[error("cannot pass the stream on")]
    Stream(#[source] io::Error),
    /// A thread of this process's was lost.
    #[error("the copy was broken off")]
    Lost,
    /// There is no way to the guest.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Most that is kept of what a guest says of errors, in bytes.
const WORDS: u64 = 16 << 10;

/// What a guest says of errors, until it has said all.
pub(crate) fn words(mut errors: impl Read) -> Vec<String> {
    let mut said = Vec::new();
    let _cut = errors.by_ref().take(WORDS).read_to_end(&mut said);
    // Whoever talks on is listened to, so that it comes to its end.
    let _cut = io::copy(&mut errors, &mut io::sink());
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}
