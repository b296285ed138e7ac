//! The folders of VMs: `STATE/vms/ID/record.json` with everything of the VM beside it.

use std::path::{Path, PathBuf};

use banger_proto::VmId;
use banger_proto::paths::private_directory;

use super::staging::{self, Discarded, Staging, StoreError};
use super::{VmRecord, document};

/// The files of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmFiles {
    directory: PathBuf,
}

impl VmFiles {
    /// The files in `directory`.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The folder of all of them.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.directory.join("record.json")
    }

    /// The private copy of the image's root filesystem.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs.ext4")
    }

    /// The disk that is `/root` in the guest.
    #[must_use]
    pub fn work_disk(&self) -> PathBuf {
        self.directory.join("work.ext4")
    }

    /// The files of a run: console, logs, control socket.
    #[must_use]
    pub fn run(&self) -> crate::vmm::Files {
        crate::vmm::Files::of(&self.directory)
    }
}

/// All VMs of the user.
#[derive(Debug, Clone)]
pub struct Vms {
    parent: PathBuf,
}

impl Vms {
    /// The VMs in the state folder.
    #[must_use]
    pub fn in_state(state: &Path) -> Self {
        Self { parent: state.join("vms") }
    }

    /// The files of a VM.
    #[must_use]
    pub fn files(&self, id: VmId) -> VmFiles {
        VmFiles { directory: self.parent.join(id.to_string()) }
    }

    /// Begins the folder of a new VM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self) -> Result<Staging, StoreError> {
        private_directory(&self.parent)?;
        Staging::begin(&self.parent)
    }

    /// Writes the record into a begun folder and gives the folder its final name.
    ///
    /// # Errors
    /// When that fails; nothing is left then.
    pub fn finish(&self, staging: Staging, record: &VmRecord) -> Result<(), StoreError> {
        document::write_new(&VmFiles::in_directory(staging.path()).record(), record)?;
        staging.finish(self.files(record.id).directory())
    }

    /// Writes the record of a VM that exists.
    ///
    /// # Errors
    /// When that fails; the record before is still there then.
    pub fn save(&self, record: &VmRecord) -> Result<(), StoreError> {
        Ok(document::write(&self.files(record.id).record(), record)?)
    }

    /// Removes a VM with all its files; their space is free when the result has been freed.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, id: VmId) -> Result<Discarded, StoreError> {
        staging::discard(self.files(id).directory())
    }

    /// What was left half made or half removed, here and in the folders of VMs.
    #[must_use]
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let mut found = staging::unfinished(&self.parent);
        for name in staging::names(&self.parent).unwrap_or_default() {
            found.extend(staging::unfinished_in(&self.parent.join(name)));
        }
        found
    }

    /// The records of all VMs, and what is wrong with those that cannot be read.
    ///
    /// # Errors
    /// When the folder of VMs cannot be listed.
    pub fn load(&self) -> Result<(Vec<VmRecord>, Vec<StoreError>), StoreError> {
        let mut records = Vec::new();
        let mut broken = Vec::new();
        for name in staging::names(&self.parent)? {
            let path = self.parent.join(&name);
            match document::read::<VmRecord>(&VmFiles { directory: path.clone() }.record()) {
                // The folder's name is what finds it again.
                Ok(record) if record.id.to_string() == name => records.push(record),
                Ok(_) => broken.push(StoreError::on("use", &path)(std::io::Error::other(
                    "it holds the record of another VM",
                ))),
                Err(error) => broken.push(error.into()),
            }
        }
        Ok((records, broken))
    }
}
