//! How a guest switches its machine off.

use banger_proto::VmmKind;

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::plan::{Capability, Contribution, GuestSpec};

/// Firecracker's machine cannot be switched off, only restarted, which ends it: a guest that
/// is told to power off would halt, and its VM stay for ever.
pub(super) struct Power;

impl Capability for Power {
    fn contribute(&self, spec: &GuestSpec, image: &ImageFacts) -> Contribution {
        if spec.vmm != VmmKind::Firecracker || !image.has_systemd {
            return Contribution::default();
        }
        let link = |name: &str| {
            let target = "/lib/systemd/system/reboot.target";
            GuestFile::link(&format!("/etc/systemd/system/{name}.target"), target)
        };
        Contribution { files: ["poweroff", "halt"].map(link).into(), mounts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::spec;
    use super::*;

    #[test]
    fn a_machine_that_cannot_be_switched_off_restarts() {
        let with_systemd = ImageFacts { has_systemd: true, ..ImageFacts::default() };
        let count = |vmm, image: &ImageFacts| {
            let spec = GuestSpec { vmm, ..spec() };
            Power.contribute(&spec, image).files.len()
        };
        assert_eq!(count(VmmKind::Firecracker, &with_systemd), 2);
        assert_eq!(count(VmmKind::Qemu, &with_systemd), 0);
        assert_eq!(count(VmmKind::Firecracker, &ImageFacts::default()), 0);
    }
}
