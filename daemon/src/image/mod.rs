//! Base images: how they are built, taken in and kept.
//!
//! ```text
//! caller's tar ──────────────┐
//!                            ├─> import worker ─> rootfs ─> kernel, seed, record ─> name
//! mmdebstrap's tar ──────────┘   (confined)       (read with the safe engine)
//! ```

mod boot_files;
pub mod build;
mod finish;
mod from_packages;
mod import;
mod kernel;
mod make;
mod release;
mod take_in;
pub mod worker;
mod worker_protocol;

pub use from_packages::build_image;
pub use import::{Part, import_image};
pub use take_in::ARGUMENT as WORKER_ARGUMENT;
