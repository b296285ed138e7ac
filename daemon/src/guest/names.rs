//! Who the guest is: host name, hosts file, machine id.

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::plan::{Capability, Contribution, GuestSpec};
use crate::names;

/// The guest's names.
pub(super) struct Names;

impl Capability for Names {
    fn contribute(&self, spec: &GuestSpec, _image: &ImageFacts) -> Contribution {
        let name = &spec.name;
        let others = names::lines(&spec.others);
        let mut files = vec![
            GuestFile::text("/etc/hostname", format!("{name}\n")),
            GuestFile::text(
                "/etc/hosts",
                format!("127.0.0.1 localhost\n127.0.1.1 {name}\n{others}"),
            ),
        ];
        if spec.first_boot {
            // Empty, so that the guest makes one of its own; it keeps it from then on.
            files.push(GuestFile::text("/etc/machine-id", ""));
        }
        Contribution { files, mounts: Vec::new() }
    }
}
