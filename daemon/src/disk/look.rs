//! What an image's root filesystem says, before a VM is made of it.

use std::path::Path;

use banger_ext4::{Error, FileKind, Filesystem, ImagePath, Result};

use super::{DiskError, guest_files, open_filesystem};
use crate::share::KernelFacts;

/// Largest list of modules that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// What an image says of the kernel of this release.
///
/// # Errors
/// [`DiskError`].
pub(crate) fn kernel_facts(
    rootfs: &Path,
    release: &str,
) -> std::result::Result<KernelFacts, DiskError> {
    let image = open_filesystem(rootfs)?;
    let mut reader = guest_files::Reader::new(&image, LARGEST);
    KernelFacts::gather(&mut reader, release).map_err(DiskError::filesystem("read", rootfs))
}

/// Whether a path of an image leads to, or through, something that is no directory.
///
/// # Errors
/// [`DiskError`].
pub(crate) fn is_taken(rootfs: &Path, path: &str) -> std::result::Result<bool, DiskError> {
    let image = open_filesystem(rootfs)?;
    let taken = ImagePath::new(path).and_then(|path| leads_elsewhere(&image, &path));
    taken.map_err(DiskError::filesystem("read", rootfs))
}

fn leads_elsewhere(image: &Filesystem, path: &ImagePath) -> Result<bool> {
    let mut here = ImagePath::root();
    for name in path.components() {
        here = here.join(name)?;
        match image.lstat(&here) {
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        match image.stat(&here) {
            Ok(found) if found.kind == FileKind::Directory => {}
            // A link that leads nowhere is in the way too.
            Ok(_) | Err(Error::NotFound { .. }) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
