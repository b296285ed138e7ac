//! The folders of VMs: `STATE/vms/ID/record.json` with everything of the VM beside it.

use std::path::{Path, PathBuf};

use banger_proto::paths::private_directory;
use banger_proto::{BrokenVm, VmId};

use super::claims::Claims;
use super::document::DocumentError;
use super::staging::{self, Discarded, Staging, StoreError};
use super::{VmRecord, document};
use crate::causes::with_causes;

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
    claims: Claims,
}

impl Vms {
    /// The VMs in the state folder.
    #[must_use]
    pub fn in_state(state: &Path) -> Self {
        Self { parent: state.join("vms"), claims: Claims::default() }
    }

    /// The files of a VM.
    #[must_use]
    pub fn files(&self, id: VmId) -> VmFiles {
        VmFiles { directory: self.parent.join(id.to_string()) }
    }

    /// What is being made or removed now.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The folder that holds all of them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.parent
    }

    /// Begins the folder of a new VM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self) -> Result<Staging, StoreError> {
        private_directory(&self.parent)?;
        Staging::begin(&self.parent, &self.claims)
    }

    /// Writes the record into a begun folder and gives the folder its final name.
    ///
    /// # Errors
    /// When that fails; nothing is left then.
    pub fn finish(&self, staging: Staging, record: &VmRecord) -> Result<(), StoreError> {
        document::write_new(&VmFiles::in_directory(staging.path()).record(), record)?;
        staging.finish(self.files(record.id).directory())
    }

    /// Writes the record of a VM that exists. After a power cut it may be the one before:
    /// enough for a new phase, since nothing runs then.
    ///
    /// # Errors
    /// When that fails; the record before is still there then.
    pub fn save(&self, record: &VmRecord) -> Result<(), StoreError> {
        Ok(document::write(&self.files(record.id).record(), record)?)
    }

    /// As [`Vms::save`], and after a power cut it is this record.
    ///
    /// # Errors
    /// When that fails.
    pub fn save_lasting(&self, record: &VmRecord) -> Result<(), StoreError> {
        Ok(document::write_lasting(&self.files(record.id).record(), record)?)
    }

    /// Removes a VM with all its files; their space is free when the result has been freed.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, id: VmId) -> Result<Discarded, StoreError> {
        staging::discard(self.files(id).directory(), &self.claims)
    }

    /// Files that were left half made in the folders of VMs.
    #[must_use]
    pub fn unfinished_parts(&self) -> Vec<PathBuf> {
        let names = staging::names(&self.parent).unwrap_or_default();
        names.iter().flat_map(|name| staging::unfinished_in(&self.parent.join(name))).collect()
    }

    /// The record of a VM, `None` when there is none.
    ///
    /// # Errors
    /// Why there is one that cannot be used.
    pub fn read(&self, id: VmId) -> Result<Option<VmRecord>, String> {
        match document::read::<VmRecord>(&self.files(id).record()) {
            // The folder's name is what finds it again.
            Ok(record) if record.id == id => Ok(Some(record)),
            Ok(_) => Err("it holds the record of another VM".to_owned()),
            Err(DocumentError::Read { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(with_causes(&error)),
        }
    }

    /// The records of all VMs, and the VMs whose records cannot be read. A folder without
    /// a record is no VM.
    ///
    /// # Errors
    /// When the folder of VMs cannot be listed.
    pub fn load(&self) -> Result<(Vec<VmRecord>, Vec<BrokenVm>), StoreError> {
        let mut records = Vec::new();
        let mut broken = Vec::new();
        for name in staging::names(&self.parent)? {
            let Ok(id) = name.parse() else { continue };
            match self.read(id) {
                Ok(record) => records.extend(record),
                Err(reason) => broken.push(self.broken(id, reason)),
            }
        }
        Ok((records, broken))
    }

    fn broken(&self, id: VmId, reason: String) -> BrokenVm {
        let files = self.files(id);
        // Whatever version wrote it, and however little of it is sound.
        let name = std::fs::read(files.record())
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .and_then(|record| record.get("name")?.as_str()?.parse().ok());
        BrokenVm {
            id,
            name,
            reason,
            allocated_bytes: staging::allocated_bytes(files.directory()),
            directory: files.directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_with_what_can_be_made_out() {
        let state = tempfile::tempdir().unwrap();
        let vms = Vms::in_state(state.path());
        let ids = [(); 4].map(|()| VmId::random());
        let records = [
            Some(r#"{"version":99,"name":"web","more":1}"#),
            Some("{\"version\":1,\"na"),
            Some(r#"{"version":1,"name":"../x"}"#),
            None,
        ];
        for (id, record) in ids.iter().zip(records) {
            let files = vms.files(*id);
            std::fs::create_dir_all(files.directory()).unwrap();
            if let Some(record) = record {
                std::fs::write(files.record(), record).unwrap();
            }
        }
        std::fs::create_dir(vms.folder().join("notes")).unwrap();
        let (readable, broken) = vms.load().unwrap();
        assert!(readable.is_empty());
        let of = |id| broken.iter().find(|vm| vm.id == id);
        assert_eq!(of(ids[0]).unwrap().label(), "web");
        assert!(of(ids[0]).unwrap().reason.contains("version 99"));
        assert_eq!(of(ids[1]).unwrap().label(), ids[1].to_string());
        assert_eq!(of(ids[2]).unwrap().name, None);
        assert!(of(ids[3]).is_none(), "without a record it is no VM");
    }
}
