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
    /// Whether it was given with the image, and not found in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initrd_was_given: bool,
    /// Size of the work seed, in MiB; 0 when there is none.
    pub work_seed_mib: u64,
    /// Where it came from, for people.
    pub source: String,
}

/// The initial RAM disk that an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnInitrd {
    /// None.
    None,
    /// One that was found in it, beside its kernel.
    Found,
    /// One that somebody gave with it, who wants it.
    Given,
}

impl ImageRecord {
    /// The initial RAM disk that it has.
    #[must_use]
    pub fn own_initrd(&self) -> OwnInitrd {
        match (self.has_initrd, self.initrd_was_given) {
            (false, _) => OwnInitrd::None,
            (true, false) => OwnInitrd::Found,
            (true, true) => OwnInitrd::Given,
        }
    }
}

impl Document for ImageRecord {
    const NOUN: &'static str = "image record";
    const MIGRATIONS: &'static [Migration] = &[];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_ram_disk_of_which_nothing_is_said_was_found() {
        // As it was written before it was told.
        let text = r#"{"id":"1","name":"debian","created_at":0,"rootfs_size":8192,
            "kernel_release":"6.1","has_initrd":true,"work_seed_mib":512,"source":"test"}"#;
        let record: ImageRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.own_initrd(), OwnInitrd::Found);
        assert!(!serde_json::to_string(&record).unwrap().contains("given"));
        let given = ImageRecord { initrd_was_given: true, ..record };
        let text = serde_json::to_string(&given).unwrap();
        let read: ImageRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.own_initrd(), OwnInitrd::Given);
        assert_eq!(ImageRecord { has_initrd: false, ..read }.own_initrd(), OwnInitrd::None);
    }
}
