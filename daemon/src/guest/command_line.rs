//! The kernel's command line: what a guest is told before its init runs.

use banger_proto::VmmKind;
use uuid::Uuid;

use crate::vmm::Accelerator;

/// How the kernel finds its root filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// By its UUID: needs an initial RAM disk, which looks for it.
    Uuid(Uuid),
    /// The first virtio disk: all that a kernel without an initial RAM disk can find.
    FirstDisk,
}

/// The command line.
///
/// Each word has its reason:
/// - `rw rootfstype=ext4`: no remount and no guessing, also without an fstab entry;
/// - `console=ttyS0`: what the guest says becomes its log;
/// - `quiet`: a serial line is slow, and systemd speaks up only when something fails;
/// - `panic=-1`: a panic restarts at once, which ends the VMM, and is noticed;
/// - `systemd.getty_auto=no 8250.nr_uarts=1`: there is one console, and its login is one of
///   our files, not the one that systemd makes up;
/// - `net.ifnames=0`: the card is not renamed while it is being configured;
/// - `fsck.mode=skip`: a journal is replayed by the kernel, there is nothing else to do;
/// - `random.trust_cpu=on`: no waiting for entropy; the host feeds virtio-rng too;
/// - under emulation `mitigations=off`: an emulated processor does not speculate,
///   so that they cost time and protect nothing; and `no_timer_check`, because
///   emulated time is uneven enough to fail that check;
/// - with Firecracker `reboot=k`: it ends when the keyboard's controller resets the machine, and
///   has nothing else that could.
#[must_use]
pub fn kernel_command_line(root: Root, accelerator: Accelerator, vmm: VmmKind) -> String {
    let root = match root {
        Root::Uuid(uuid) => format!("UUID={uuid}"),
        Root::FirstDisk => "/dev/vda".to_owned(),
    };
    let mut line = format!(
        "root={root} rw rootfstype=ext4 console=ttyS0 quiet panic=-1 \
         systemd.getty_auto=no 8250.nr_uarts=1 net.ifnames=0 fsck.mode=skip random.trust_cpu=on"
    );
    if accelerator == Accelerator::Tcg {
        line.push_str(" mitigations=off no_timer_check");
    }
    if vmm == VmmKind::Firecracker {
        line.push_str(" reboot=k");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_processor_keeps_its_mitigations() {
        let root = Root::Uuid(Uuid::nil());
        assert!(
            !kernel_command_line(root, Accelerator::Kvm, VmmKind::Qemu).contains("mitigations")
        );
        assert!(
            kernel_command_line(root, Accelerator::Tcg, VmmKind::Qemu)
                .contains(" mitigations=off ")
        );
    }

    #[test]
    fn the_root_is_named_as_it_can_be_found() {
        let line = kernel_command_line(Root::FirstDisk, Accelerator::Kvm, VmmKind::Qemu);
        assert!(line.starts_with("root=/dev/vda rw "), "{line}");
        let line = kernel_command_line(Root::Uuid(Uuid::nil()), Accelerator::Kvm, VmmKind::Qemu);
        assert!(line.starts_with("root=UUID=00000000-0000-0000-0000-000000000000 rw "), "{line}");
    }

    #[test]
    fn firecracker_is_left_by_the_keyboard() {
        let line = |vmm| kernel_command_line(Root::FirstDisk, Accelerator::Kvm, vmm);
        assert!(line(VmmKind::Firecracker).ends_with(" reboot=k"));
        assert!(!line(VmmKind::Qemu).contains("reboot"));
    }
}
