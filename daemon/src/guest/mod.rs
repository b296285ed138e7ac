//! What goes into a guest's root filesystem before it boots, and how it is waited for.
//!
//! ```text
//! ImageFacts::gather(reader) ─> plan(&GuestSpec, &ImageFacts) ─> Vec<GuestFile>   (pure)
//! work_disk_files(authorized_key, shares)                     ─> Vec<GuestFile>   (pure)
//! kernel_command_line(...)                                    ─> String           (pure)
//! wait::for_ssh(sshd, &vmm, &files, deadline)                 ─> the guest answers
//! ```
//!
//! Each capability of the host is one file here and one line in [`plan`]'s list: it
//! says which files and which mounts it wants, and knows nothing of the others.

mod command_line;
mod console;
pub mod diagnose;
mod facts;
mod file;
mod fstab;
mod init;
mod names;
mod network;
mod plan;
mod power;
mod ready;
mod shares;
mod ssh;
pub mod wait;
mod work_disk;

pub use command_line::{Root, kernel_command_line};
pub use facts::{ImageFacts, ImageReader};
pub use file::{Content, GuestFile};
pub use fstab::Mount;
pub use plan::{Capability, Contribution, GuestSpec, plan};
pub use work_disk::work_disk_files;
