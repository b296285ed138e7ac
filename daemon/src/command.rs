//! What the program was asked to be.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::causes::with_causes;
use crate::daemon::{self, DaemonError};
use crate::doctor;
use crate::ext4;
use crate::image;
use crate::net::forward;
use crate::store::InstanceError;
use crate::vmlinux;
use crate::vmm::become_vmm;

const HELP: &str = "\
bangerd, the daemon of banger; the command line starts it when it is needed

usage: bangerd              serve this user until asked to end
       bangerd doctor [--quick]   look at this host and print what was found, as JSON;
                          banger doctor is the one for people
       bangerd --version
       bangerd --help

environment: BANGER_LOG  what is logged: info (default), debug, bangerd=trace
files: /etc/banger/*.toml, ~/.config/banger/config.toml
       ~/.config/banger/programs  folders that are searched first for qemu, passt, ...,
                                  one a line
";

/// Does what the arguments say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Some(failed) = become_vmm(&arguments) {
        complain(&format!("bangerd: {failed}\n"));
        return ExitCode::FAILURE;
    }
    if let Some((_, rest)) = arguments.split_first().filter(|(word, _)| *word == ext4::ARGUMENT) {
        return ext4::run(rest);
    }
    if arguments.first().is_some_and(|word| *word == forward::ARGUMENT) {
        return match forward::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.to_string()),
        };
    }
    let words: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap_or("?")).collect();
    match words.as_slice() {
        [] => serve(),
        [image::WORKER_ARGUMENT] => match image::worker::run() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
        [vmlinux::ARGUMENT] => vmlinux::run(),
        [doctor::ARGUMENT] => doctor::run(false),
        [doctor::ARGUMENT, "--quick"] => doctor::run(true),
        ["--version"] => say(concat!("bangerd ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h"] => say(HELP),
        _ => {
            complain(&format!("bangerd: cannot make sense of: {}\n\n{HELP}", words.join(" ")));
            ExitCode::from(2)
        }
    }
}

fn serve() -> ExitCode {
    match daemon::run() {
        Ok(()) => ExitCode::SUCCESS,
        // Two command lines may start a daemon at once; one of them is enough.
        Err(DaemonError::Instance(held @ InstanceError::Held { .. })) => {
            complain(&format!("{held}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let text = format!("bangerd: {}", with_causes(&error));
            tracing::error!("{text}");
            complain(&format!("{text}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Ends with a complaint.
pub(crate) fn failed(words: &str) -> ExitCode {
    complain(&format!("bangerd: {words}\n"));
    ExitCode::FAILURE
}

/// Writes a result.
pub(crate) fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells whoever started the program, when somebody listens.
fn complain(text: &str) {
    let _nobody_listens = std::io::stderr().write_all(text.as_bytes());
}
