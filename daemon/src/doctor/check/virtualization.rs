//! KVM, QEMU and Firecracker.

use banger_proto::{Check, CheckState, Need};

use super::super::facts::{Facts, Kvm, Program};
use super::{failed, ok, short, warning};
use crate::vmm::firecracker::Version;

const GROUP: &str = "virtualization";

pub(super) fn check(facts: &Facts) -> Vec<Check> {
    vec![kvm(facts), qemu(facts), firecracker(facts)]
}

fn kvm(facts: &Facts) -> Check {
    let name = (GROUP, "KVM");
    let why = "without it guests are emulated, some ten times slower";
    let container = facts.system.inside.as_deref().filter(|inside| *inside != "WSL");
    match &facts.kvm {
        Kvm::Absent { .. } | Kvm::Forbidden { .. } if container.is_some() => {
            warning(name, why, "this container has no /dev/kvm that you may open").remedy([
                "# give it the device from outside, as docker's --device /dev/kvm does,",
                "# and yourself its group there",
            ])
        }
        Kvm::Works => ok(name, why, "runs a guest"),
        // One that was busy is no other case: the next look tells.
        Kvm::Broken(reason) => warning(name, why, format!("opens, and does not work: {reason}"))
            .remedy([
                "sudo dmesg | grep -i kvm",
                "# in a VM: give it nested virtualization, or another kind of machine",
            ]),
        Kvm::Forbidden { joined: true, .. } => {
            warning(name, why, "this login may not open /dev/kvm yet")
                .remedy(["# log out and in again, then:", "banger daemon stop"])
        }
        Kvm::Forbidden { group, .. } => {
            let steps = match group.as_deref() {
                None | Some("root") => [
                    "echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0660\"' | \
                     sudo tee /etc/udev/rules.d/65-kvm.rules"
                        .to_owned(),
                    "# then start the computer anew".to_owned(),
                ],
                Some(group) => [
                    format!("sudo usermod -aG {group} $USER"),
                    "# then log out and in again, and: banger daemon stop".to_owned(),
                ],
            };
            warning(name, why, "/dev/kvm may not be opened by you").remedy(steps)
        }
        Kvm::Absent { virtualization: Some(flag), .. } => {
            let module = if *flag == "svm" { "kvm_amd" } else { "kvm_intel" };
            warning(name, why, format!("the processor can ({flag}), and there is no /dev/kvm"))
                .remedy([
                    format!("sudo modprobe {module}"),
                    "# where that fails: switch virtualization on in the firmware".to_owned(),
                ])
        }
        Kvm::Absent { virtualization: None, nested: true } => {
            warning(name, why, "this is a VM without nested virtualization")
                .remedy(["# switch nested virtualization on in the hypervisor of this machine"])
        }
        Kvm::Absent { virtualization: None, nested: false } => {
            warning(name, why, "the processor offers no virtualization")
                .remedy(["# switch VT-x, AMD-V or SVM on in the firmware"])
        }
    }
}

/// The two leading numbers of the first version in a text.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some((major, minor.parse().ok()?))
    })
}

fn qemu(facts: &Facts) -> Check {
    let name = (GROUP, "QEMU");
    let why = "it runs the guests";
    let install = facts.system.distribution.install(Need::Qemu);
    match &facts.qemu {
        Program::Missing => failed(name, why, "not found")
            .remedy([install, "# or name its folder in ~/.config/banger/programs".to_owned()]),
        Program::Broken { path, reason } => {
            failed(name, why, format!("{} does not run: {reason}", path.display()))
                .remedy(["# install it anew".to_owned(), install])
        }
        Program::Works { path, version: said } => {
            let found = format!("{} ({})", short(said), path.display());
            // Before 7.2 it cannot be connected to passt.
            let old = version(said).is_some_and(|version| version < (7, 2));
            let passt = matches!(facts.passt, Program::Works { .. });
            let state = match (old, passt) {
                (false, _) => return ok(name, why, found),
                (true, true) => CheckState::Failed,
                (true, false) => CheckState::Warning,
            };
            let found = format!("{found} is older than 7.2, which networks by passt need");
            Check::new(name, why, state, found)
                .remedy(["# a newer one, where the distribution has it".to_owned(), install])
        }
    }
}

fn firecracker(facts: &Facts) -> Check {
    let name = (GROUP, "Firecracker");
    let why = "it may run guests instead of QEMU, on a disk of the root helper's";
    let newer = "# another release: https://github.com/firecracker-microvm/firecracker/releases";
    let (path, said) = match &facts.firecracker {
        Program::Missing => return ok(name, why, "not found: QEMU runs all guests"),
        Program::Broken { path, reason } => {
            return warning(name, why, format!("{} does not run: {reason}", path.display()))
                .remedy([newer, "# or remove it: QEMU then runs all guests"]);
        }
        Program::Works { path, version } => (path, version),
    };
    let Some(version) = Version::parse(said) else {
        let found = format!("{} does not say which Firecracker it is", path.display());
        return warning(name, why, found).remedy([newer]);
    };
    let Some(trouble) = version.trouble() else {
        return ok(name, why, format!("{} ({})", short(said), path.display()));
    };
    let state = if version.lets_guests_out() { CheckState::Failed } else { CheckState::Warning };
    Check::new(name, why, state, format!("{trouble}, and is not used ({})", path.display()))
        .remedy([newer])
}
