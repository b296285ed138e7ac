//! A VM's root filesystem: what the guest is told before it boots.

use std::fs::File;
use std::path::Path;

use banger_ext4::{Batch, Flush};
use uuid::Uuid;

use super::{DiskError, claim, guest_files, open};
use crate::guest::{GuestSpec, ImageFacts, plan};

/// What an image says of itself, read from its root filesystem.
///
/// # Errors
/// [`DiskError`].
pub fn image_facts(rootfs: &Path) -> Result<ImageFacts, DiskError> {
    let filesystem = open::open_filesystem(rootfs)?;
    ImageFacts::gather(&mut guest_files::Reader::new(&filesystem, guest_files::LARGEST))
        .map_err(DiskError::filesystem("read", rootfs))
}

/// Writes a guest's files into its root filesystem: one batch, of which a crash leaves
/// all or nothing. The journal of a VM that was killed is replayed first. Returns the
/// filesystem's UUID. Before its first boot a filesystem is made anew when anything goes
/// wrong, a power cut too, so that nothing has to wait for the device then.
///
/// # Errors
/// [`DiskError`]; the filesystem is as before then.
pub fn patch_rootfs(rootfs: &Path, spec: &GuestSpec) -> Result<Uuid, DiskError> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(rootfs)
        .map_err(DiskError::file("open", rootfs))?;
    claim::alone(&file, rootfs)?;
    let patch = || {
        let mut batch = Batch::open(open::disk(file)?)?;
        let filesystem = batch.filesystem()?;
        let uuid = Uuid::from_bytes(filesystem.superblock().s_uuid());
        let facts =
            ImageFacts::gather(&mut guest_files::Reader::new(&filesystem, guest_files::LARGEST))?;
        guest_files::write(&mut batch, &plan(spec, &facts))?;
        let flush = if spec.first_boot { Flush::ProcessSafe } else { Flush::PowerSafe };
        batch.commit(flush)?;
        Ok(uuid)
    };
    patch().map_err(DiskError::filesystem("write the guest's files into", rootfs))
}
