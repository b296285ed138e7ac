//! The kernel inside an image's kernel: what a VMM starts that unpacks none itself.
//!
//! ```text
//! vmlinuz ──> bzimage: where it lies ──> format: gzip, xz, ... ──> elf: can it be loaded? ──> vmlinux
//!             └────────────── in a worker that can open nothing ──────────────┘
//! ```
//!
//! How it finds the devices of such a VMM is seen on the way: by modules of its own, in an initial RAM disk
//! that is made of them (`initrd`); by the image's own initial RAM disk, as the names in it say; or by
//! itself. Which of these it is, `boots` chooses.
//!
//! An image's kernel is whatever somebody put there: every size is bounded, and what reads it
//! has it, the image's filesystem and initial RAM disk, the files that it writes, and nothing else.

mod boots;
mod bzimage;
mod elf;
mod error;
mod format;
mod initrd;
mod prepare;
mod unpack;
mod worker;

pub(crate) use format::Format;
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
