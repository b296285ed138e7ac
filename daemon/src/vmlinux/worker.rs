//! The worker that unpacks: this very program once more, with the kernel as standard input and
//! an empty file as standard output, and without a way to anything else.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::error::KernelError;
use super::unpack::{MOST, unpack};
use crate::causes::chain;
use crate::confine::{Needs, confine};

/// The argument that makes this program the worker.
pub(crate) const ARGUMENT: &str = "vmlinux-worker";

/// What is told at the end, in one line of JSON on standard error.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Told {
    /// It is there.
    Done {
        /// Bytes of it.
        bytes: u64,
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
        Ok((bytes, missing)) => (Told::Done { bytes, missing }, ExitCode::SUCCESS),
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

fn work() -> Result<(u64, Vec<String>), KernelError> {
    let kernel = io::stdin().as_fd().try_clone_to_owned().map_err(KernelError::Read)?;
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(KernelError::Write)?;
    let (mut kernel, mut output) = (File::from(kernel), File::from(output));
    // Nothing of the kernel has been read yet.
    let needs = Needs { largest_file: Some(MOST), descriptors: 16, folder: None };
    let (_, missing) = confine(&needs);
    Ok((unpack(&mut kernel, &mut output)?, missing))
}
