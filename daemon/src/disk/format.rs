//! How new filesystems are made: on fresh sparse files, with a UUID that is known before.

use banger_ext4::{FormatOptions, Timestamp};
use uuid::Uuid;

/// A filesystem with this UUID on storage that reads as zero.
pub(crate) fn format_options(uuid: Uuid) -> FormatOptions {
    FormatOptions {
        zeroed: true,
        ..FormatOptions::new(*uuid.as_bytes(), *Uuid::new_v4().as_bytes(), Timestamp::now())
    }
}
