//! A VM's disks: the private copy of the root filesystem, the work disk, the work seed.

mod clone;
mod sizes;

pub use clone::{Copied, CopyError, copy_preferring_clone};
pub use sizes::{default_rootfs_size, work_seed_path, work_seed_size};
