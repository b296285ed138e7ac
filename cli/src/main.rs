//! The command line: arguments in, results out, an exit code at the end.
#![forbid(unsafe_code)]

mod arguments;
mod bangerd;
mod command;
mod complete;
mod copy;
mod detach_keys;
mod doctor;
mod exit_codes;
mod failure;
mod groups;
#[cfg(test)]
mod hints;
mod interrupt;
mod manual;
mod ssh;
mod sync;
mod terminal;

use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

fn main() -> ExitCode {
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    let (arguments, json) = match arguments::parse() {
        Ok(parsed) => parsed,
        Err(error) => return ExitCode::from(arguments::tell(&error)),
    };
    let terminal = Terminal::new(arguments.quiet).with_json(json);
    let failed = arguments.command.failure_code();
    let afterwards = arguments.command.when_interrupted();
    ExitCode::from(match run(arguments, terminal) {
        Ok(code) => code,
        // Whoever read the result has seen enough.
        Err(failure) if failure.is_broken_pipe() => 0,
        Err(failure) => {
            match failure.signal() {
                Some(signal) => terminal.interrupted(signal, afterwards),
                None => terminal.failure(&failure),
            }
            failure.signal().map_or(failed, interrupt::Signal::code)
        }
    })
}

fn run(arguments: Arguments, terminal: Terminal) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Begin)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = arguments.command.run(terminal) => outcome,
            // What is under way is dropped, and puts the terminal in order as it goes.
            signal = interrupt::unclaimed() => Err(signal.map_or_else(Failure::Begin, Failure::Interrupted)),
        }
    });
    // A read of standard input may hang in a thread of its own: nobody waits for it.
    runtime.shutdown_background();
    outcome
}
