//! The worker that unpacks, and makes an initial RAM disk: this very program once more, with the kernel as
//! standard input and an empty file as standard output, and without a way to anything but the files given.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use banger_ext4::{FileDisk, Filesystem};
use serde::{Deserialize, Serialize};

use super::boots::Seen;
use super::error::KernelError;
use super::initrd::{contains, mentions};
use super::unpack::{MOST, unpack};
use crate::causes::{chain, with_causes};
use crate::confine::{Needs, confine};
use crate::initrd::{GenerateError, Made, generate, release};

/// The argument that makes this program the worker.
pub(crate) const ARGUMENT: &str = "vmlinux-worker";

/// Descriptor of the image's own initial RAM disk, where it has one.
pub(super) const INITRD: i32 = 3;
/// Descriptor of the image's root filesystem, which has the modules.
pub(super) const ROOTFS: i32 = 4;
/// Descriptor of the empty file for the initial RAM disk that is made.
pub(super) const MADE: i32 = 5;

/// What is told at the end, in one line of JSON on standard error.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Told {
    /// It is there.
    Done {
        /// Bytes of it.
        bytes: u64,
        /// What was seen of the image.
        seen: Seen,
        /// Walls that this kernel does not give.
        missing: Vec<String>,
    },
    /// It is not.
    Failed {
        /// The error and its causes, outermost first.
        chain: Vec<String>,
        /// The host's fault, and not the kernel's.
        by_host: bool,
    },
}

/// Unpacks what is given.
pub(crate) fn run() -> ExitCode {
    let (told, code) = match work() {
        Ok(done) => (done, ExitCode::SUCCESS),
        Err(error) => {
            use KernelError::{Initrd, Read, Write};
            let by_host = matches!(error, Read(_) | Write(_) | Initrd(_));
            (Told::Failed { chain: chain(&error), by_host }, ExitCode::FAILURE)
        }
    };
    let text = serde_json::to_string(&told).unwrap_or_default();
    // A daemon that does not listen any more has given it up.
    let _nobody_listens = io::stderr().write_all(text.as_bytes());
    code
}

fn work() -> Result<Told, KernelError> {
    // Before anything else is opened, which would have the number of what was not given.
    let initrd = given(INITRD, File::options().read(true));
    let rootfs = given(ROOTFS, File::options().read(true));
    let made = given(MADE, File::options().read(true).write(true));
    let kernel = io::stdin().as_fd().try_clone_to_owned().map_err(KernelError::Read)?;
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(KernelError::Write)?;
    let (mut kernel, mut output) = (File::from(kernel), File::from(output));
    // Nothing of the image has been read yet.
    let needs = Needs { largest_file: Some(MOST), descriptors: 16, folder: None, connects: &[] };
    let (_, missing) = confine(&needs);
    let bytes = unpack(&mut kernel, &mut output)?;
    output.rewind().map_err(KernelError::Read)?;
    // The driver's own name, and its module's.
    let built_in = contains(&mut output, b"virtio-mmio").map_err(KernelError::Read)?;
    let in_own = initrd.is_some_and(|initrd| mentions(BufReader::new(initrd), b"virtio_mmio"));
    output.rewind().map_err(KernelError::Read)?;
    let release = release(&mut output).map_err(KernelError::Read)?;
    let made = match (rootfs, made) {
        (Some(rootfs), Some(made)) => make(rootfs, release.as_deref(), made)?,
        _ => Err("its root filesystem was not given".to_owned()),
    };
    Ok(Told::Done { bytes, seen: Seen { built_in, in_own, made }, missing })
}

/// A file that was given by its number.
fn given(number: i32, options: &OpenOptions) -> Option<File> {
    let file = options.open(format!("/proc/self/fd/{number}")).ok()?;
    file.metadata().is_ok_and(|about| about.is_file()).then_some(file)
}

/// Makes the initial RAM disk; says why, where the image is not of a kind that it can be made of.
fn make(
    rootfs: File,
    release: Option<&str>,
    to: File,
) -> Result<Result<Made, String>, KernelError> {
    let disk = FileDisk::new(rootfs).and_then(|disk| Filesystem::open(Arc::new(disk)));
    let rootfs = match disk {
        Ok(rootfs) => rootfs,
        Err(error) => return Ok(Err(with_causes(&error))),
    };
    match generate(&rootfs, release, &mut BufWriter::new(to)) {
        Ok(made) => Ok(Ok(made)),
        Err(GenerateError::Write(error)) => Err(KernelError::Initrd(error)),
        Err(error) => Ok(Err(with_causes(&error))),
    }
}
