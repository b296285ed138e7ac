//! A VM's disks: the private copy of the root filesystem, the work disk, the work seed.

mod claim;
mod clone;
mod error;
mod format;
mod fresh;
mod grow;
mod guest_files;
mod look;
mod open;
mod rootfs;
mod sizes;
mod work_disk;
mod work_seed;

pub(crate) use claim::{Claim, claim};
pub use clone::{Copied, CopyError, copy_for_now, copy_preferring_clone, make_durable};
pub use error::DiskError;
pub(crate) use format::format_options;
pub use grow::{grow_disk, is_half_grown};
pub(crate) use look::{is_taken, kernel_facts};
pub use open::{filesystem_uuid, open_filesystem};
pub use rootfs::{image_facts, patch_rootfs};
pub use sizes::{default_rootfs_size, work_seed_path, work_seed_size};
pub use work_disk::build_work_disk;
pub use work_seed::build_work_seed;
