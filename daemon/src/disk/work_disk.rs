//! A VM's work disk: built fresh at its final size, and never built again.

use std::path::Path;

use banger_ext4::{Batch, Flush, ImagePath, Ownership, copy_subtree};
use banger_proto::Mib;
use uuid::Uuid;

use super::format::format_options;
use super::fresh::Fresh;
use super::{DiskError, guest_files, open_filesystem};
use crate::guest::GuestFile;

/// Builds the work disk `at`, which must not exist: the contents of the `seed`, then
/// `files`. Its root directory, `/root` in the guest, is 0:0 0755.
///
/// # Errors
/// [`DiskError`]; there is no disk then.
pub fn build_work_disk(
    at: &Path,
    size: Mib,
    uuid: Uuid,
    seed: Option<&Path>,
    files: &[GuestFile],
) -> Result<(), DiskError> {
    let seed = seed.map(open_filesystem).transpose()?;
    let fresh = Fresh::begin(at, size.bytes())?;
    let build = || {
        let disk = fresh.disk()?;
        let mut batch = Batch::create(disk, &format_options(uuid))?;
        if let Some(seed) = &seed {
            let mut content = copy_subtree(seed, &ImagePath::root());
            batch.ingest(&ImagePath::root(), &mut content, Ownership::Root)?;
        }
        guest_files::write(&mut batch, files)?;
        batch.fix_root()?;
        batch.commit(Flush::ProcessSafe)?;
        Ok(())
    };
    build().map_err(DiskError::filesystem("make", at))?;
    fresh.finish()
}
