//! The kernel inside an image's kernel: what a VMM starts that unpacks none itself.
//!
//! ```text
//! vmlinuz ──> bzimage: where it lies ──> format: gzip, xz, ... ──> elf: can it be loaded? ──> vmlinux
//!             └────────────── in a worker that can open nothing ──────────────┘
//! ```
//!
//! Whether it finds the devices of such a VMM is seen on the way: in it, or in the names of its
//! initial RAM disk's modules.
//!
//! An image's kernel is whatever somebody put there: every size is bounded, and what reads it
//! has it, the initial RAM disk, the file that it writes, and nothing else.

mod bzimage;
mod elf;
mod error;
mod format;
mod initrd;
mod prepare;
mod unpack;
mod worker;

pub(crate) use prepare::{Bench, Unpacked, prepare};
pub(crate) use worker::{ARGUMENT, run};
