//! What a start has to do, decided before anything is done.

use std::path::PathBuf;

use banger_proto::{Code, Isolation, Mib, Network, Refusal, VmmKind};

use crate::store::{ImageFiles, ImageRecord, OwnInitrd, VmFiles, VmRecord};

/// What was found before the start.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    /// The image, when there is one of that name.
    pub image: Option<ImageRecord>,
    /// The image's files.
    pub image_files: ImageFiles,
    /// The VM's files.
    pub files: VmFiles,
    /// The VM has its own copy of the root filesystem already.
    pub has_rootfs: bool,
    /// The VM has a work disk already.
    pub has_work_disk: bool,
    /// The work disk was to be made larger, and that was not brought to its end.
    pub work_disk_is_half_grown: bool,
    /// The image has a work seed.
    pub has_work_seed: bool,
}

/// One stage of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes the private copy of the root filesystem, in place of one that never booted.
    CopyRootfs { from: PathBuf, to: PathBuf, replace: bool },
    /// Writes the guest's files into the root filesystem.
    PatchRootfs { rootfs: PathBuf, work_disk: PathBuf, first_boot: bool },
    /// Has the root helper make the device of the root filesystem, a snapshot of the image's:
    /// what a guest wrote that never booted is discarded.
    AttachSnapshot { base: PathBuf, first_boot: bool },
    /// Has the root helper make the VM's tap on the bridge, whose addresses the guest's files say.
    AttachNetwork,
    /// Has the root helper write the guest's files into it.
    PatchSnapshot { base: PathBuf, work_disk: PathBuf, first_boot: bool },
    /// Builds the work disk.
    BuildWorkDisk { at: PathBuf, size: Mib, seed: Option<PathBuf> },
    /// Brings the growing of a work disk to its end.
    GrowWorkDisk { at: PathBuf, size: Mib },
    /// Unpacks the image's kernel for a VMM that does not, and makes the initial RAM disk with which
    /// it finds that VMM's disks, where that was not done.
    UnpackKernel { image: ImageFiles, initrd: OwnInitrd },
    /// Runs the VMM.
    StartVmm { kernel: Kernel, root: RootDisk, work_disk: PathBuf },
    /// Waits until the guest answers ssh.
    WaitForGuest,
}

/// What the guest boots with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kernel {
    /// The image's own files.
    Packed { kernel: PathBuf, initrd: Option<PathBuf> },
    /// What the step before has unpacked.
    Unpacked,
}

/// What the guest's first disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RootDisk {
    /// A private copy, in a file.
    File(PathBuf),
    /// The snapshot that was attached, borrowed from the root helper.
    Snapshot,
}

/// The steps of a start, in their order.
pub(super) fn plan(record: &VmRecord, situation: &Situation) -> Result<Vec<Step>, Refusal> {
    let name = &record.image.name;
    let image = situation.image.as_ref().ok_or_else(|| {
        Refusal::new(Code::FailedPrecondition, format!("the image {name} does not exist any more"))
            .hint(format!("make it again, or remove the VM: banger vm rm {}", record.name))
    })?;
    // Its disks come from that very image, and so must the kernel that boots them.
    if image.id != record.image.id {
        return Err(Refusal::new(
            Code::FailedPrecondition,
            format!("the image {name} is another one than {} was made from", record.name),
        )
        .hint(format!("remove the VM and make it anew: banger vm rm {}", record.name)));
    }
    let (files, image_files) = (&situation.files, &situation.image_files);
    let mut steps = Vec::new();
    // One that never booted holds nothing of anybody's, and may be damaged: it was not yet
    // durable when the host lost its power, or the guest died of it.
    let root = match record.isolation {
        Isolation::Rootless => {
            let first_boot = !record.booted || !situation.has_rootfs;
            if first_boot {
                steps.push(Step::CopyRootfs {
                    from: image_files.rootfs(),
                    to: files.rootfs(),
                    replace: situation.has_rootfs,
                });
            }
            steps.push(Step::PatchRootfs {
                rootfs: files.rootfs(),
                work_disk: files.work_disk(),
                first_boot,
            });
            RootDisk::File(files.rootfs())
        }
        // Whether there is an overlay of it, only the helper knows: where one that booted has
        // none, it lost what its guest wrote.
        Isolation::System => {
            let (base, first_boot) = (image_files.rootfs(), !record.booted);
            steps.push(Step::AttachSnapshot { base: base.clone(), first_boot });
            let work_disk = files.work_disk();
            if record.network == Network::Bridge {
                steps.push(Step::AttachNetwork);
            }
            steps.push(Step::PatchSnapshot { base, work_disk, first_boot });
            RootDisk::Snapshot
        }
    };
    // A work disk that exists is the user's data.
    if !situation.has_work_disk {
        steps.push(Step::BuildWorkDisk {
            at: files.work_disk(),
            size: record.disk,
            seed: situation.has_work_seed.then(|| image_files.work_seed()),
        });
    } else if situation.work_disk_is_half_grown {
        steps.push(Step::GrowWorkDisk { at: files.work_disk(), size: record.disk });
    }
    let kernel = match record.vmm {
        VmmKind::Qemu => {
            let initrd = image.has_initrd.then(|| image_files.initrd());
            Kernel::Packed { kernel: image_files.kernel(), initrd }
        }
        VmmKind::Firecracker => {
            let (image, initrd) = (image_files.clone(), image.own_initrd());
            steps.push(Step::UnpackKernel { image, initrd });
            Kernel::Unpacked
        }
    };
    steps.push(Step::StartVmm { kernel, root, work_disk: files.work_disk() });
    steps.push(Step::WaitForGuest);
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn situation() -> Situation {
        Situation {
            image: Some(ImageRecord {
                id: "1".into(),
                name: "debian".parse().unwrap(),
                created_at: 0,
                rootfs_size: Mib::new(8192).unwrap(),
                kernel_release: "6.1".into(),
                has_initrd: true,
                initrd_was_given: false,
                work_seed_mib: 512,
                source: "test".into(),
            }),
            image_files: ImageFiles::in_directory(Path::new("/image")),
            files: VmFiles::in_directory(Path::new("/vm")),
            has_rootfs: false,
            has_work_disk: false,
            work_disk_is_half_grown: false,
            has_work_seed: true,
        }
    }

    #[test]
    fn a_first_start() {
        insta::assert_debug_snapshot!(plan(&VmRecord::sample(), &situation()).unwrap());
    }

    #[test]
    fn a_later_start_keeps_both_disks() {
        let record = VmRecord { booted: true, ..VmRecord::sample() };
        let situation = Situation { has_rootfs: true, has_work_disk: true, ..situation() };
        insta::assert_debug_snapshot!(plan(&record, &situation).unwrap());
    }

    #[test]
    fn with_the_root_helper_the_device_is_in_the_place_of_the_copy() {
        let record = VmRecord { isolation: Isolation::System, ..VmRecord::sample() };
        insta::assert_debug_snapshot!(plan(&record, &situation()).unwrap());
        // A copy, by whomever, is not looked at.
        let copied = Situation { has_rootfs: true, ..situation() };
        assert_eq!(plan(&record, &copied), plan(&record, &situation()));
        let booted = VmRecord { booted: true, ..record };
        let steps = plan(&booted, &situation()).unwrap();
        let base = situation().image_files.rootfs();
        assert_eq!(steps[0], Step::AttachSnapshot { base, first_boot: false });
    }

    #[test]
    fn on_the_bridge_the_tap_is_there_before_the_files_that_say_its_addresses() {
        let record = VmRecord {
            isolation: Isolation::System,
            network: Network::Bridge,
            ..VmRecord::sample()
        };
        insta::assert_debug_snapshot!(plan(&record, &situation()).unwrap());
        let without = VmRecord { network: Network::User, ..record };
        let steps = plan(&without, &situation()).unwrap();
        assert!(!steps.contains(&Step::AttachNetwork), "{steps:?}");
    }

    #[test]
    fn firecracker_starts_the_kernel_inside_the_kernel() {
        let with = VmRecord { vmm: VmmKind::Firecracker, ..VmRecord::sample() };
        let qemu = plan(&VmRecord::sample(), &situation()).unwrap();
        let steps = plan(&with, &situation()).unwrap();
        let added: Vec<_> = steps.iter().filter(|step| !qemu.contains(step)).collect();
        let image = situation().image_files;
        let initrd = OwnInitrd::Found;
        assert_eq!(*added[0], Step::UnpackKernel { image, initrd });
        let [_, Step::StartVmm { kernel, .. }] = &added[..] else { panic!("{added:?}") };
        assert_eq!(*kernel, Kernel::Unpacked);
        let mut given = situation();
        given.image.as_mut().unwrap().initrd_was_given = true;
        let steps = plan(&with, &given).unwrap();
        let (image, initrd) = (given.image_files, OwnInitrd::Given);
        assert!(steps.contains(&Step::UnpackKernel { image, initrd }), "{steps:?}");
    }

    #[test]
    fn a_change_of_the_disk_that_was_broken_off_is_brought_to_its_end() {
        let situation =
            Situation { has_work_disk: true, work_disk_is_half_grown: true, ..situation() };
        let steps = plan(&VmRecord::sample(), &situation).unwrap();
        let (at, size) = (situation.files.work_disk(), VmRecord::sample().disk);
        assert!(steps.contains(&Step::GrowWorkDisk { at, size }), "{steps:?}");
    }

    #[test]
    fn without_a_seed_and_an_initrd() {
        let mut situation = Situation { has_work_seed: false, ..situation() };
        situation.image.as_mut().unwrap().has_initrd = false;
        insta::assert_debug_snapshot!(plan(&VmRecord::sample(), &situation).unwrap());
    }

    #[test]
    fn after_a_failed_first_start_the_root_filesystem_is_made_anew() {
        let situation = Situation { has_rootfs: true, has_work_disk: true, ..situation() };
        insta::assert_debug_snapshot!(plan(&VmRecord::sample(), &situation).unwrap());
    }

    #[test]
    fn another_image_of_the_same_name_is_refused() {
        let mut other = situation();
        other.image.as_mut().unwrap().id = "2".into();
        assert_eq!(plan(&VmRecord::sample(), &other).unwrap_err().code, Code::FailedPrecondition);
        let none = Situation { image: None, ..situation() };
        assert_eq!(plan(&VmRecord::sample(), &none).unwrap_err().code, Code::FailedPrecondition);
    }
}
