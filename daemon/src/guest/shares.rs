//! Folders of the host: mounted where they were asked for.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::fstab::{Mount, escaped};
use super::plan::{Capability, Contribution, GuestSpec};
use crate::share;

/// Every folder of the host that the guest has.
pub(super) struct Shares;

impl Capability for Shares {
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        let mut wanted = Contribution::default();
        for (number, share) in spec.shares.iter().enumerate() {
            // A guest boots without it too; what is root's on the host is not root's there.
            let mut options = "nofail,nodev,nosuid".to_owned();
            if share.read_only {
                options.push_str(",ro");
            }
            if image.has_systemd {
                // Without this, nofail lets everything else begin before it is mounted.
                options.push_str(",x-systemd.before=local-fs.target,x-systemd.mount-timeout=30");
            }
            let (tag, field) = (share::tag(number), escaped(&share.path));
            let line = format!("{tag} {field} virtiofs {options} 0 0");
            // What is in /root belongs on the work disk.
            if !share.path.starts_with("/root/") {
                wanted.files.push(GuestFile::mount_point(&share.path));
            }
            wanted.mounts.push(Mount::new(&share.path, line));
        }
        wanted
    }
}
