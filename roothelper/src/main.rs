//! The root helper: all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    banger_roothelper::command::run(std::env::args_os().skip(1))
}
