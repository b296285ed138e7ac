//! The worker's life: look at the image, shut oneself in, do what was asked, tell.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use banger_ext4::{Disk, Error, FileDisk, Filesystem, Limits, Result, check};
use banger_proto::{Bytes, Ext4Blame, Ext4Line};

use super::image::{self, ImageError};
use super::request::Request;
use super::{list, put};
use crate::causes::chain;
use crate::confine::{Needs, Work, confine};

/// The argument that makes this program the worker.
pub(crate) const ARGUMENT: &str = "ext4-worker";

/// Descriptors of a walk through folders of the host, each of them open.
const WALKING: u64 = 512;
/// Names of what was left out that are told.
const MOST_TOLD: usize = 1000;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Engine(#[from] Error),
    #[error("the worker was not given what it works on")]
    Descriptor(#[source] io::Error),
}

impl WorkerError {
    fn blame(&self) -> Ext4Blame {
        match self {
            Self::Image(ImageError::Host(_)) | Self::Descriptor(_) => Ext4Blame::Host,
            Self::Image(_) => Ext4Blame::Image,
            Self::Engine(error) => match error {
                Error::NotFound { .. } => Ext4Blame::NotFound,
                Error::InvalidPath { .. } | Error::WrongType { .. } | Error::TooLarge { .. } => {
                    Ext4Blame::Request
                }
                Error::Incompatible { .. } => Ext4Blame::Image,
                Error::Corrupt { .. } => Ext4Blame::Damage,
                Error::NoSpace { .. } => Ext4Blame::Space,
                _ => Ext4Blame::Host,
            },
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Image(error) => error.hint(),
            Self::Engine(Error::Corrupt { .. }) => {
                "see what else is wrong: banger ext4 check IMAGE; e2fsck -f mends, on a copy".into()
            }
            Self::Engine(Error::NoSpace { .. }) => "nothing was changed".into(),
            _ => String::new(),
        }
    }
}

/// Does what the arguments ask.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let Some(request) = Request::parse(arguments) else {
        return crate::command::failed("the request makes no sense: only the command line asks");
    };
    let error = match request.map_err(WorkerError::from).and_then(|request| work(&request)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    tell(&Ext4Line::Failed { chain: chain(&error), hint: error.hint(), blame: error.blame() });
    ExitCode::FAILURE
}

fn tell(line: &Ext4Line) {
    // Whoever asked has given up.
    let _nobody_listens = io::stderr().write_all(line.text().as_bytes());
}

fn work(request: &Request) -> Result<(), WorkerError> {
    let image = io::stdin().as_fd().try_clone_to_owned().map_err(WorkerError::Descriptor)?;
    let other = io::stdout().as_fd().try_clone_to_owned().map_err(WorkerError::Descriptor)?;
    let (image, other) = (File::from(image), File::from(other));
    image::take(&image, request.writes())?;
    shut_in(request, &image, &other)?;
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(image)?);
    let fs = || Filesystem::open(Arc::clone(&disk));
    match request {
        Request::List { path, recursive: false } => list::directory(&fs()?, path, &mut tell)?,
        Request::List { path, recursive: true } => list::tree(&fs()?, path, &mut tell)?,
        Request::Stat { path } => {
            let fs = fs()?;
            tell(&Ext4Line::Entry(Box::new(list::itself(&fs, path)?)));
            tell(&Ext4Line::Attributes { attributes: list::attributes(&fs, path)? });
        }
        Request::Read { path } => read(&fs()?, path, other)?,
        Request::Copy { path, name } => {
            let done = fs()?.extract_as(path, other.as_fd(), name, &Limits::default())?;
            let left_out = done.skipped.into_iter().take(MOST_TOLD).map(Bytes).collect();
            let entries = done.directories + done.files + done.symlinks;
            tell(&Ext4Line::Copied { entries, bytes: done.bytes, left_out });
        }
        Request::Put(asked) => tell(&put::put(disk, other, asked)?),
        Request::Check => tell(&checked(fs().and_then(|fs| check(&fs)))?),
    }
    Ok(())
}

/// Gives up all that the request does not need. What a kernel lacks for that is told.
fn shut_in(request: &Request, image: &File, other: &File) -> Result<(), WorkerError> {
    let length = image.metadata().map_err(WorkerError::Descriptor)?.len();
    let alone = Needs { largest_file: Some(0), descriptors: 16, folder: None, connects: &[] };
    let needs = match request {
        Request::Copy { .. } => Needs {
            largest_file: None,
            descriptors: WALKING,
            folder: Some((other.as_fd(), Work::Make)),
            connects: &[],
        },
        Request::Put(_) => {
            let is_folder = other.metadata().is_ok_and(|metadata| metadata.is_dir());
            let folder = is_folder.then_some((other.as_fd(), Work::Read));
            Needs { largest_file: Some(length), descriptors: WALKING, folder, connects: &[] }
        }
        // Where content goes may be a file.
        Request::Read { .. } => Needs { largest_file: None, ..alone },
        _ => alone,
    };
    let (_, missing) = confine(&needs);
    for wall in missing {
        tell(&Ext4Line::Note { text: format!("the image is read without a wall: {wall}") });
    }
    Ok(())
}

/// A file's content, to whoever takes it; who has seen enough ends it without a word.
fn read(fs: &Filesystem, path: &banger_ext4::ImagePath, mut to: File) -> Result<()> {
    match fs.read_file_to(path, u64::MAX, &mut to) {
        Err(Error::Source { source: Some(error), .. })
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(())
        }
        read => read.map(|_| ()),
    }
}

/// Damage that keeps a filesystem from being opened is a finding, too.
fn checked(found: Result<banger_ext4::Findings>) -> Result<Ext4Line> {
    match found {
        Ok(found) => Ok(Ext4Line::Checked {
            problems: found.problems.iter().map(ToString::to_string).collect(),
            count: found.count,
            inodes: found.inodes,
            blocks: found.blocks,
        }),
        Err(Error::Corrupt { what }) => {
            Ok(Ext4Line::Checked { problems: vec![what], count: 1, inodes: 0, blocks: 0 })
        }
        Err(error) => Err(error),
    }
}
