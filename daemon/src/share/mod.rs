//! Folders of the host that a guest sees: which may be shared, whether the guest can have them,
//! and the file server of each.
//!
//! ```text
//! create: folder::admit, kernel::check, Servers::probe ─> recorded, with its links resolved
//! start:  folder::open (the same folder as then) ─> server::serve ─> QEMU's descriptor
//! ```
//!
//! The guest speaks virtiofs with a process of its own for each folder, which sees that folder
//! and nothing else of the host and ends with the VMM. 9p is not used: with it QEMU itself, and
//! so a guest that has taken it over, would have the owner's files.

mod folder;
mod kernel;
mod server;

pub use folder::{Folder, FolderError, Forbidden};
pub(crate) use folder::{admit, open};
pub(crate) use kernel::{KernelFacts, check as check_kernel};
pub(crate) use server::{DESCRIPTORS, Serving, one_ended, probe, serve, tag, trim_logs};
pub use server::{Served, ShareError};
