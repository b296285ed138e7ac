//! A VM's keys as files: made with the VM, gone with the VM.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use banger_proto::VmId;

use super::{StoreError, VmFiles};
use crate::keys::{HostKey, Keys};

/// How the names of host keys' files begin.
const HOST_KEY: &str = "ssh_host_";

impl VmFiles {
    /// The private key that opens the VM.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.directory().join("id_ed25519")
    }

    /// The VM's host keys, for ssh.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.directory().join("known_hosts")
    }

    fn public_key(&self) -> PathBuf {
        self.directory().join("id_ed25519.pub")
    }

    /// Writes all keys of a new VM.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_keys(&self, keys: &Keys, id: VmId) -> Result<(), StoreError> {
        write(&self.identity(), &keys.client_private)?;
        write(&self.public_key(), &format!("{}\n", keys.client_public))?;
        write(&self.known_hosts(), &keys.known_hosts(&id.to_string()))?;
        for key in &keys.host {
            write(&self.directory().join(&key.file), &key.private)?;
            write(
                &self.directory().join(format!("{}.pub", key.file)),
                &format!("{}\n", key.public),
            )?;
        }
        Ok(())
    }

    /// The line that lets the VM's key in.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn authorized_key(&self) -> Result<String, StoreError> {
        read(&self.public_key())
    }

    /// The VM's host keys.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn host_keys(&self) -> Result<Vec<HostKey>, StoreError> {
        let directory = self.directory();
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(StoreError::on("list", directory))? {
            let entry = entry.map_err(StoreError::on("list", directory))?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            if !file.starts_with(HOST_KEY) || Path::new(&file).extension().is_some() {
                continue;
            }
            let private = read(&entry.path())?;
            let public = read(&directory.join(format!("{file}.pub")))?.trim_end().to_owned();
            keys.push(HostKey { file, private, public });
        }
        keys.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(keys)
    }
}

fn write(path: &Path, text: &str) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(StoreError::on("write", path))
}

fn read(path: &Path) -> Result<String, StoreError> {
    std::fs::read_to_string(path).map_err(StoreError::on("read", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_files_and_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let files = VmFiles::in_directory(folder.path());
        let keys = crate::keys::make("banger:web").unwrap();
        let id = VmId::random();
        files.write_keys(&keys, id).unwrap();
        assert_eq!(files.host_keys().unwrap(), keys.host);
        assert_eq!(files.authorized_key().unwrap().trim_end(), keys.client_public);
        let known = std::fs::read_to_string(files.known_hosts()).unwrap();
        assert!(known.starts_with(&id.to_string()), "{known}");
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
        }
    }
}
