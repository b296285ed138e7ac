//! The owner's daemon: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bangerd::spawn::settle();
    bangerd::command::run(std::env::args_os().skip(1))
}
