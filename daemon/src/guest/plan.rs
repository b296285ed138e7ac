//! The batch of a guest's files: what every capability contributes, in one list.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use banger_proto::{Share, VmName, VmmKind};
use uuid::Uuid;

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::fstab::{self, Mount};
use super::{console, names, network, power, ready, shares, ssh, work_disk};
use crate::keys::HostKey;
use crate::net::Card;

/// The VM, as far as its files depend on it.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// The VM's name, a valid host name.
    pub name: String,
    /// What runs it.
    pub vmm: VmmKind,
    /// The VM's network card; none without a network.
    pub network: Option<Card>,
    /// UUID of the work disk's filesystem.
    pub work_disk: Uuid,
    /// The VM's own host keys.
    pub host_keys: Vec<HostKey>,
    /// Folders of the host that it has.
    pub shares: Vec<Share>,
    /// Other VMs that it reaches, by name.
    pub others: BTreeMap<VmName, Ipv4Addr>,
    /// The root filesystem has not booted yet: it is a fresh copy of its image.
    pub first_boot: bool,
}

/// What one capability wants in the guest.
#[derive(Debug, Default)]
pub struct Contribution {
    /// Files, in the order in which they are written.
    pub files: Vec<GuestFile>,
    /// Lines of `/etc/fstab`, by their mount points.
    pub mounts: Vec<Mount>,
}

/// Something the host gives a guest.
pub trait Capability {
    /// What it wants there.
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution;
}

/// Every capability. Adding one is its file and its line here.
const CAPABILITIES: &[&dyn Capability] = &[
    &names::Names,
    &ssh::Ssh,
    &network::Network,
    &ready::Ready,
    &console::Console,
    &power::Power,
    &fstab::Scratch,
    &work_disk::WorkDisk,
    &shares::Shares,
];

/// Everything that is written into the root filesystem before it boots. Written
/// again over its own result, with `image` read anew, it changes nothing.
#[must_use]
pub fn plan(spec: &GuestSpec, image: &ImageFacts) -> Vec<GuestFile> {
    let mut files = Vec::new();
    let mut mounts = Vec::new();
    for capability in CAPABILITIES {
        let wanted = capability.contribute(spec, image);
        files.extend(wanted.files);
        mounts.extend(wanted.mounts);
    }
    let rewritten = fstab::rewrite(image.fstab.as_deref().unwrap_or_default(), &mounts);
    files.push(GuestFile::text("/etc/fstab", rewritten));
    files
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::file::Content;
    use super::*;
    use crate::keys;

    pub(in super::super) fn spec() -> GuestSpec {
        let id = Uuid::from_u128(7);
        GuestSpec {
            vmm: VmmKind::Qemu,
            name: "web".into(),
            network: Some(Card::user_mode(id)),
            work_disk: "0ddba11c-0ffe-4e75-9a3b-4d1f8a4f2b10".parse().unwrap(),
            host_keys: keys::from_seeds([1; 32], [2; 32], "web").unwrap().host,
            shares: vec!["/home/ann/src:/src".parse().unwrap(), "/x:/root/a b:ro".parse().unwrap()],
            others: [("db".parse().unwrap(), Ipv4Addr::new(172, 16, 0, 8))].into(),
            first_boot: true,
        }
    }

    #[test]
    fn a_debian_guest() {
        let image = ImageFacts {
            fstab: Some(b"# UNCONFIGURED FSTAB FOR BASE SYSTEM\n".to_vec()),
            sshd_config: Some(b"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n".to_vec()),
            sshd_drop_ins: vec!["50-cloud-init.conf".into()],
            host_key_files: vec!["ssh_host_ed25519_key".into(), "ssh_host_rsa_key".into()],
            has_systemd: true,
            has_agetty: true,
            ..ImageFacts::default()
        };
        let mut text = String::new();
        for file in plan(&spec(), &image) {
            let GuestFile { path, mode, uid, gid, content } = file;
            text.push_str(&format!("== {path} {mode:04o} {uid}:{gid}\n"));
            match content {
                Content::File(_) if path.contains("ssh_host_") => text.push_str("(key)\n"),
                Content::File(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Content::Symlink(target) => text.push_str(&format!("-> {target}\n")),
                Content::Directory => text.push_str("(directory)\n"),
                Content::MountPoint => text.push_str("(mount point)\n"),
                Content::Absent => text.push_str("(absent)\n"),
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_path_is_written_twice() {
        let files = plan(&spec(), &ImageFacts::default());
        let mut paths: Vec<_> = files.iter().map(|f| &f.path).collect();
        paths.sort_unstable();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count, "{paths:?}");
    }

    #[test]
    fn a_later_boot_keeps_the_machine_id() {
        let spec = GuestSpec { first_boot: false, ..spec() };
        let files = plan(&spec, &ImageFacts::default());
        assert!(!files.iter().any(|f| f.path == "/etc/machine-id"));
    }
}
