//! Disk images as the engine wants them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{FileDisk, Filesystem, ReadAhead};
use uuid::Uuid;

use super::DiskError;

/// The filesystem on an image that nobody changes meanwhile, for reading.
///
/// # Errors
/// [`DiskError`].
pub fn open_filesystem(path: &Path) -> Result<Filesystem, DiskError> {
    let file = File::open(path).map_err(DiskError::file("open", path))?;
    disk(file)
        .and_then(|disk| Filesystem::open(Arc::new(ReadAhead::new(disk))))
        .map_err(DiskError::filesystem("read", path))
}

pub(super) fn disk(file: File) -> banger_ext4::Result<Arc<FileDisk>> {
    FileDisk::new(file).map(Arc::new)
}

/// The UUID of the filesystem on an image; `None` where there is no image.
///
/// # Errors
/// [`DiskError`].
pub fn filesystem_uuid(path: &Path) -> Result<Option<Uuid>, DiskError> {
    if !path.exists() {
        return Ok(None);
    }
    let filesystem = open_filesystem(path)?;
    Ok(Some(Uuid::from_bytes(filesystem.superblock().s_uuid())))
}
