//! The worker that unpacks: this very program once more, with the kernel as standard input and
//! an empty file as standard output, and without a way to anything else.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::error::KernelError;
use super::initrd::{contains, mentions};
use super::unpack::{MOST, unpack};
use crate::causes::chain;
use crate::confine::{Needs, confine};

/// The argument that makes this program the worker.
pub(crate) const ARGUMENT: &str = "vmlinux-worker";

/// Descriptor of the initial RAM disk, where there is one.
pub(super) const INITRD: i32 = 3;

/// What is told at the end, in one line of JSON on standard error.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Told {
    /// It is there.
    Done {
        /// Bytes of it.
        bytes: u64,
        /// It, or its initial RAM disk, has the driver of devices without PCI.
        mmio: bool,
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
            let by_host = matches!(error, KernelError::Read(_) | KernelError::Write(_));
            (Told::Failed { chain: chain(&error), by_host }, ExitCode::FAILURE)
        }
    };
    let text = serde_json::to_string(&told).unwrap_or_default();
    // A daemon that does not listen any more has given it up.
    let _nobody_listens = io::stderr().write_all(text.as_bytes());
    code
}

fn work() -> Result<Told, KernelError> {
    // Before anything else is opened, which would be number three where nothing was given.
    let initrd = File::open(format!("/proc/self/fd/{INITRD}"));
    let initrd = initrd.ok().filter(|file| file.metadata().is_ok_and(|about| about.is_file()));
    let kernel = io::stdin().as_fd().try_clone_to_owned().map_err(KernelError::Read)?;
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(KernelError::Write)?;
    let (mut kernel, mut output) = (File::from(kernel), File::from(output));
    // Nothing of the kernel has been read yet.
    let needs = Needs { largest_file: Some(MOST), descriptors: 16, folder: None, connects: &[] };
    let (_, missing) = confine(&needs);
    let bytes = unpack(&mut kernel, &mut output)?;
    output.rewind().map_err(KernelError::Read)?;
    // The driver's own name, and its module's.
    let built_in = contains(&mut output, b"virtio-mmio").map_err(KernelError::Read)?;
    let mmio =
        built_in || initrd.is_some_and(|initrd| mentions(BufReader::new(initrd), b"virtio_mmio"));
    Ok(Told::Done { bytes, mmio, missing })
}
