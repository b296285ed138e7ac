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

/// The end of what a kernel takes while it unpacks itself, in bytes from the first of the guest's memory.
/// `None` for what is no bzImage, or one that does not say.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn end_of_unpacking(kernel: &std::path::Path) -> std::io::Result<Option<u64>> {
    use std::io::Read;

    let mut head = Vec::with_capacity(bzimage::INIT_HEAD);
    std::fs::File::open(kernel)?.take(bzimage::INIT_HEAD as u64).read_to_end(&mut head)?;
    Ok(bzimage::end_of_unpacking(&head))
}
