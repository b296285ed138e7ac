//! A start's disks, in files of the user's: the root filesystem's copy and what is written into it,
//! and the work disk.

use std::path::{Path, PathBuf};

use banger_proto::{Mib, Refusal, Vm, VmName};
use uuid::Uuid;

use super::execute::Start;
use super::network::Known;
use crate::disk::{self, Copied, CopyError, DiskError};
use crate::guest::{self, GuestSpec};
use crate::progress::{Sparingly, Teller};
use crate::store::{VmFiles, VmRecord};
use crate::verb::{FREE_SPACE, OnHost, blocking, disk_refusal, store_refusal};

impl Start {
    /// What is written into the root filesystem depends on the work disk, which may be
    /// there already or may be about to be made with the UUID of the VM.
    pub(super) fn patch(
        &self,
        rootfs: PathBuf,
        work_disk: PathBuf,
        first_boot: bool,
    ) -> impl Future<Output = Result<Uuid, Refusal>> + use<> {
        let (record, files, known) = (self.record.clone(), self.files.clone(), self.known());
        blocking(move || {
            let spec = guest_spec(&record, &files, known, &work_disk, first_boot)?;
            disk::patch_rootfs(&rootfs, &spec).map_err(|error| disk_refusal(&error))
        })
    }

    pub(super) fn work_disk(
        &self,
        at: PathBuf,
        size: Mib,
        seed: Option<PathBuf>,
    ) -> impl Future<Output = Result<(), Refusal>> + use<> {
        let (uuid, files) = (self.record.uuid(), self.files.clone());
        let (name, shares) = (self.record.name.clone(), self.record.shares.clone());
        blocking(move || {
            let key = files.authorized_key().map_err(|error| store_refusal(&error))?;
            let files = guest::work_disk_files(&key, &shares);
            disk::build_work_disk(&at, size, uuid, seed.as_deref(), &files).map_err(|error| {
                let refusal = disk_refusal(&error);
                match error {
                    DiskError::Filesystem {
                        source: banger_ext4::Error::NoSpace { .. }, ..
                    } => {
                        refusal.hint(format!("give it a larger one: banger set {name} --disk SIZE"))
                    }
                    _ => refusal,
                }
            })
        })
    }
}

/// What the guest is told before it boots.
pub(super) fn guest_spec(
    record: &VmRecord,
    files: &VmFiles,
    Known { card, others }: Known,
    work_disk: &Path,
    first_boot: bool,
) -> Result<GuestSpec, Refusal> {
    let disk = disk::filesystem_uuid(work_disk).map_err(|error| disk_refusal(&error))?;
    Ok(GuestSpec {
        name: record.name.to_string(),
        vmm: record.vmm,
        network: card,
        others,
        work_disk: disk.unwrap_or(record.uuid()),
        host_keys: files.host_keys().map_err(|error| store_refusal(&error))?,
        shares: record.shares.clone(),
        first_boot,
    })
}

pub(super) async fn copy(
    name: VmName,
    from: PathBuf,
    to: PathBuf,
    replace: bool,
    force: bool,
    teller: Teller<Vm>,
) -> Result<Copied, Refusal> {
    blocking(move || {
        if replace {
            std::fs::remove_file(&to).on_host("remove the copy that never booted")?;
        }
        let mut sparingly = Sparingly::begin();
        let mut progress = |bytes, all| {
            if sparingly.now() {
                teller.progress(bytes, Some(all));
            }
        };
        disk::copy_for_now(&from, &to, force, &mut progress).map_err(|error| {
            let insist = matches!(error, CopyError::NoRoom { .. })
                .then(|| format!("{FREE_SPACE}, or insist: banger vm start --force {name}"));
            let refusal = disk_refusal(&error.into());
            match insist {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })
    })
    .await
}
