//! The root helper: all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use banger_roothelper::worker;

fn main() -> ExitCode {
    // One of these was started by us, and has nothing to do with anything below.
    if let Some(ended) = worker::run(std::env::args_os()) {
        return ended;
    }
    banger_roothelper::command::run(std::env::args_os().skip(1))
}
