//! The command line as people meet it, against a bangerd without VMs and an ssh that only
//! writes down what it was asked.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod completions;
mod console;
mod cp;
mod daemon;
mod everyday;
mod guest;
mod helper_log;
mod json;
mod place;
mod run;
mod ssh_config;
mod sync;
mod terminal;
