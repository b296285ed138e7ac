//! The initial RAM disk that bangerd makes: the modules without which a kernel finds no disk of a VMM without
//! PCI, in the order in which they are loaded, and a first process that does so (`guest/`).
//!
//! ```text
//! vmlinux ─> release: which one it is ─┐
//! rootfs: /lib/modules/RELEASE ────────┴> needs: which modules, in which order ─> content: unpacked
//!                                                                                └> archive: what the kernel reads
//! ```
//!
//! All of it reads what somebody else made: it is called in a worker that can open nothing, and
//! every size and number is bounded.

mod archive;
mod content;
mod generate;
mod needs;
mod release;

pub(crate) use generate::{GenerateError, Made, generate};
pub(crate) use release::release;

/// The first process of guests, a program of its own.
pub(crate) const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
