//! How to reach a running VM's sshd.

use std::path::PathBuf;

use crate::{Invalid, VmId, wire};

/// What `ssh` needs to know, and nothing from the user's own configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Address of the host's side.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User in the guest.
    pub user: String,
    /// The VM's private key.
    pub identity_file: PathBuf,
    /// The VM's host keys, under [`SshTarget::host_key_alias`].
    pub known_hosts_file: PathBuf,
    /// Names the VM, so that another listener on the port is noticed.
    pub host_key_alias: VmId,
}

/// Which keys open a VM and prove it, whether or not it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshIdentity {
    /// User in the guest.
    pub user: String,
    /// The VM's private key.
    pub identity_file: PathBuf,
    /// The VM's host keys, under [`SshIdentity::host_key_alias`].
    pub known_hosts_file: PathBuf,
    /// Names the VM.
    pub host_key_alias: VmId,
}

impl TryFrom<wire::daemon::SshIdentity> for SshIdentity {
    type Error = Invalid;

    fn try_from(wire: wire::daemon::SshIdentity) -> Result<Self, Invalid> {
        Ok(Self {
            user: wire.user,
            identity_file: wire.identity_file.into(),
            known_hosts_file: wire.known_hosts_file.into(),
            host_key_alias: wire.host_key_alias.parse()?,
        })
    }
}

impl From<SshIdentity> for wire::daemon::SshIdentity {
    fn from(identity: SshIdentity) -> Self {
        Self {
            user: identity.user,
            identity_file: identity.identity_file.to_string_lossy().into_owned(),
            known_hosts_file: identity.known_hosts_file.to_string_lossy().into_owned(),
            host_key_alias: identity.host_key_alias.to_string(),
        }
    }
}

impl TryFrom<wire::daemon::SshTarget> for SshTarget {
    type Error = Invalid;

    fn try_from(wire: wire::daemon::SshTarget) -> Result<Self, Invalid> {
        let port = u16::try_from(wire.port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| Invalid::new("port", &wire.port.to_string(), "use 1 to 65535"))?;
        Ok(Self {
            host: wire.host,
            port,
            user: wire.user,
            identity_file: wire.identity_file.into(),
            known_hosts_file: wire.known_hosts_file.into(),
            host_key_alias: wire.host_key_alias.parse()?,
        })
    }
}

impl From<SshTarget> for wire::daemon::SshTarget {
    fn from(target: SshTarget) -> Self {
        Self {
            host: target.host,
            port: target.port.into(),
            user: target.user,
            identity_file: target.identity_file.to_string_lossy().into_owned(),
            known_hosts_file: target.known_hosts_file.to_string_lossy().into_owned(),
            host_key_alias: target.host_key_alias.to_string(),
        }
    }
}
