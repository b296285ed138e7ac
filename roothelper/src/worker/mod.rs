//! The ext4 worker: a process that has a device and nothing else, and does with it what is
//! asked once. Nothing that a guest wrote is ever read with privileges.
//!
//! ```text
//!  helper (root)                          worker (banger-worker)
//!    | start: our own program, no environment   |
//!    |--- device, by SCM_RIGHTS --------------->| becomes 3
//!    |                                          | sandbox: user, capabilities, Landlock,
//!    |                                          |   limits, seccomp
//!    |--- request ----------------------------->| checked again, then done by the engine
//!    |<-- begins: state before and after -------| (a batch, before its first write)
//!    |<-- answer -------------------------------|
//!    |                                          x exit 0
//!    | reap; anything else is a death
//! ```
//!
//! [`Workers`] is what verbs ask. After every batch that was begun, a fresh worker looks past
//! the page cache at what the device holds, and [`verdict`] says what that means.

mod account;
mod answer;
mod child;
mod codec;
mod death;
mod device;
mod device_disk;
mod frame;
mod program;
mod read;
mod refusal;
mod request;
mod running;
mod sandbox;
mod spawn;
mod staff;
mod state;
mod verdict;
mod workers;
mod write;

pub use account::{Account, NoAccount};
pub use child::{Inside, run, run_with};
pub use death::Death;
pub use device::Device;
pub use program::{ARGUMENT, Program, Role};
pub use refusal::{Blame, Refusal};
pub use request::MOST_ENTRIES;
pub use staff::NoWorkers;
pub(crate) use staff::Staff;
pub use workers::{Deadlines, NotRead, Workers};
