//! The program that runs a guest: what it is told, how it is confined, how it ends.
//!
//! ```text
//! Host::probe ─> start(&host, &spec) ─> Running ─┬─> stop(&running, files, deadline)
//!                    │                           ├─> Process::find(&running.vmm) after a restart of the daemon
//!                    └ StartError: nothing left  └─> console::trim(files) now and then
//! ```
//!
//! A VMM is no child that ends with the daemon: it runs on, and is found again by
//! [`crate::spawn::ProcessId`]. Its control socket in the VM's directory is
//! opened anew whenever it is needed.

mod connecting;
pub mod console;
pub(crate) mod firecracker;
mod host;
pub mod kvm;
mod landlocked;
mod observe;
mod qemu;
pub mod qmp;
mod spec;
mod start;
mod stop;
pub(crate) mod walls;

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;

pub use host::Host;
pub use qemu::{CONTROL_DESCRIPTOR, Cable, NETWORK_DESCRIPTOR, Places, Qemu, Run, Vmm};
pub use spec::{Accelerator, Disk, Files, VmmSpec};
pub use start::{Running, StartError, start};
pub use stop::{StopError, Stopped, stop};
pub use walls::Walls;

/// Descriptors that a program which is about to become a VMM leaves open for it, by its first
/// argument.
#[must_use]
pub fn kept(argument: Option<&OsStr>) -> &'static [RawFd] {
    match argument.and_then(OsStr::to_str) {
        Some(landlocked::ARGUMENT) => &landlocked::KEPT,
        Some(firecracker::gate::ARGUMENT) => &firecracker::gate::KEPT,
        _ => &[],
    }
}

/// Becomes a VMM where that is what the arguments say. Returns when they say something else, and
/// with the reason when it fails.
pub(crate) fn become_vmm(arguments: &[OsString]) -> Option<String> {
    let (word, rest) = arguments.split_first()?;
    let rest = rest.iter().cloned();
    match word.to_str()? {
        landlocked::ARGUMENT => Some(landlocked::become_vmm(rest)),
        firecracker::gate::ARGUMENT => Some(firecracker::gate::become_vmm(rest)),
        _ => None,
    }
}
