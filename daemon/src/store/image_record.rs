//! What is remembered of an image.

use banger_proto::{ImageName, Mib};
use serde::{Deserialize, Serialize};

use super::document::{Document, Migration};
use super::text;

/// One image. Its name is that of its folder, so that a copy of a folder is an image too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    /// A new one for every import.
    pub id: String,
    /// The name it was made under.
    #[serde(with = "text")]
    pub name: ImageName,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Size of the root filesystem.
    #[serde(with = "text::mib")]
    pub rootfs_size: Mib,
    /// Release of the kernel; empty when it is not known.
    pub kernel_release: String,
    /// Whether there is an initial RAM disk.
    pub has_initrd: bool,
    /// Size of the work seed, in MiB; 0 when there is none.
    pub work_seed_mib: u64,
    /// Where it came from, for people.
    pub source: String,
}

impl Document for ImageRecord {
    const NOUN: &'static str = "image record";
    const MIGRATIONS: &'static [Migration] = &[];
}
