//! Firecracker: what it can run, what it is told, how it is started and asked to end.
//!
//! ```text
//! version ─> configuration (a file) ─> launch, in bubblewrap ─> api: GET / until it runs
//!                                       └> gate: the tap     └> api: PUT /actions SendCtrlAltDel
//! ```
//!
//! It knows no bzImage, no user-mode network and no shared folders, and it emulates nothing:
//! what it cannot do, QEMU does.

pub(super) mod api;
mod configuration;
mod filter;
pub(super) mod gate;
mod launch;
mod version;

pub(super) use launch::start;
pub(crate) use version::{Version, ask};

/// Filters of seccomp's that are put around it: the gate's, and bubblewrap's.
pub(super) const FILTERS: u32 = 2;

/// Most processors that it gives a guest.
pub(crate) const MOST_CPUS: u32 = 32;
