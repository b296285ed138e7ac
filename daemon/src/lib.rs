//! The owner's daemon: disposable Linux microVMs, as an ordinary user.
//!
//! Nothing here runs as root, and nothing here is `unsafe`.
#![forbid(unsafe_code)]

mod causes;
mod cgroup;
pub mod command;
pub mod config;
mod confine;
pub mod context;
pub mod daemon;
pub mod disk;
mod doctor;
mod ext4;
mod figure;
pub mod garbage;
pub mod guest;
pub mod image;
mod initrd;
pub mod keys;
mod log;
mod names;
pub mod net;
pub mod progress;
pub mod reconcile;
pub mod server;
pub mod share;
pub mod spawn;
pub mod store;
mod system;
pub mod verb;
pub mod vm;
mod vmlinux;
pub mod vmm;

#[cfg(test)]
#[path = "../../tests/src/skip.rs"]
#[expect(unreachable_pub, reason = "the tests of the repository show it to their suites")]
mod skip;
