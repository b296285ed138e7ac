//! The walls around a worker: each step can be taken only before the next.
//!
//! ```text
//!  place         no other descriptor, folder /, umask, first to go when memory is short
//!  privileges    bounding set, groups, group, user, capabilities; tied to the parent
//!  files         Landlock: no file, no port, no other process
//!  limits        memory, time, files, processes
//!  system calls  seccomp: reading the device (and writing it), talking to the parent
//! ```

mod files;
mod limits;
mod place;
mod privileges;
mod system_calls;

use std::io;

use super::program::Arguments;

/// What the device needs beside what every worker does without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    pub(super) arguments: Arguments,
    /// Bytes of the device, beyond which nothing is written.
    pub(super) device_len: u64,
}

/// A wall that cannot be built, without which nothing is read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub(super) struct NotShutIn {
    pub(super) step: &'static str,
    #[source]
    pub(super) source: io::Error,
}

/// For `map_err` behind each step.
fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> NotShutIn {
    move |error| NotShutIn { step, source: error.into() }
}

/// Gives up all that a worker does not need, for good.
pub(super) fn shut_in(needs: &Needs) -> Result<(), NotShutIn> {
    place::settle()?;
    privileges::give_up(&needs.arguments)?;
    files::close()?;
    limits::set(needs)?;
    system_calls::shut(needs.arguments.role)
}
