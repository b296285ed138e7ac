//! The ssh keys of one VM: its client key, its host keys, its known_hosts line.

use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};

/// Keys that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for ssh keys")]
    Random(#[source] getrandom::Error),
    /// A key cannot be written down.
    #[error("an ssh key cannot be written down")]
    Encode(#[source] ssh_key::Error),
}

/// A host key, as files of the guest's `/etc/ssh`.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    /// Name of the private key's file: `ssh_host_ed25519_key`.
    pub file: String,
    /// The private key as OpenSSH writes it. A secret.
    pub private: String,
    /// The public key in one line, without its end.
    pub public: String,
}

/// All keys of one VM.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The client's private key as OpenSSH writes it: a file of 0600. A secret.
    pub client_private: String,
    /// The client's public key: the line of `authorized_keys`, without its end.
    pub client_public: String,
    /// The guest's host keys.
    pub host: Vec<HostKey>,
}

// A secret does not belong into a log.
impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("client_public", &self.client_public)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// The lines of the VM's own known_hosts file. `alias` is the VM's id, which
    /// ssh is told as HostKeyAlias: the port may be another VM's tomorrow.
    #[must_use]
    pub fn known_hosts(&self, alias: &str) -> String {
        self.host
            .iter()
            .map(|key| {
                // Without its comment, which says nothing here.
                let plain: Vec<_> = key.public.split(' ').take(2).collect();
                format!("{alias} {}\n", plain.join(" "))
            })
            .collect()
    }
}

/// Makes the keys of a VM. `comment` ends the public ones: `banger:NAME`.
///
/// # Errors
/// [`KeyError`].
pub fn make(comment: &str) -> Result<Keys, KeyError> {
    let seed = || {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(seed)
    };
    from_seeds(seed()?, seed()?, comment)
}

/// The keys that follow from these seeds.
pub(crate) fn from_seeds(
    client: [u8; 32],
    host: [u8; 32],
    comment: &str,
) -> Result<Keys, KeyError> {
    let (client_private, client_public) = pair(client, comment)?;
    let (private, public) = pair(host, comment)?;
    let host = HostKey { file: "ssh_host_ed25519_key".to_owned(), private, public };
    Ok(Keys { client_private, client_public, host: vec![host] })
}

fn pair(seed: [u8; 32], comment: &str) -> Result<(String, String), KeyError> {
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment)
        .map_err(KeyError::Encode)?;
    let private = key.to_openssh(LineEnding::LF).map_err(KeyError::Encode)?;
    let public = key.public_key().to_openssh().map_err(KeyError::Encode)?;
    Ok((private.to_string(), public))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn every_vm_has_its_own() {
        let (one, other) = (make("banger:a").unwrap(), make("banger:a").unwrap());
        assert_ne!(one.client_public, other.client_public);
        assert_ne!(one.host[0].public, other.host[0].public);
        assert_ne!(one.client_public, one.host[0].public);
    }

    #[test]
    fn ssh_keygen_reads_the_private_key_and_finds_the_same_public_one() {
        let keys = make("banger:web").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, &keys.client_private).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = Command::new("ssh-keygen").arg("-yf").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), keys.client_public);
    }

    #[test]
    fn the_known_hosts_line_names_the_vm_by_its_id() {
        let keys = from_seeds([1; 32], [2; 32], "banger:web").unwrap();
        let text = keys.known_hosts("some-id");
        let (line, rest) = text.split_once('\n').unwrap();
        assert_eq!(rest, "");
        assert_eq!(format!("{line} banger:web"), format!("some-id {}", keys.host[0].public));
    }

    #[test]
    fn secrets_do_not_show() {
        let keys = make("x").unwrap();
        assert!(!format!("{keys:?}").contains("PRIVATE"));
    }
}
