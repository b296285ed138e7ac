//! A real kernel finds its root filesystem where there is no PCI, by the initial RAM disk that is made for it:
//! as with Firecracker, but on QEMU's machine of that kind, which needs no KVM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_ext4::{FileDisk, Filesystem, ImagePath};
use banger_tests::initrd::busybox;
use banger_tests::owner::Owner;
use banger_tests::unpacked::{Kernel, Unpacked, rootfs, unpack};
use bangerd::guest::diagnose::{Diagnosis, Vmm, diagnose};
use bangerd::guest::{Root, kernel_command_line};
use bangerd::vmm::Accelerator;

use crate::image;

/// What the guest becomes: says what it was given, and ends.
const INIT: &str = "#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
say() { echo \"guest: $*\"; }
say \"init $$ $0 $*, $colour\"
say \"root $(busybox grep ' / ' /proc/mounts | busybox cut -d ' ' -f 2-4 | busybox cut -d , -f 1)\"
say \"dev $(busybox grep -c ' /dev devtmpfs ' /proc/mounts)\"
say \"mounts $(busybox wc -l </proc/mounts)\"
say \"modules $(busybox cut -d ' ' -f 1 /proc/modules | busybox sort | busybox tr '\\n' ' ')\"
say \"cards $(busybox ls /sys/class/net | busybox tr '\\n' ' ')\"
say \"depth $(busybox cat /sys/module/virtio_blk/parameters/queue_depth)\"
say \"left $(busybox ls -d /modules /init 2>&1 | busybox grep -vc 'No such')\"
echo kept >>/kept
busybox sync
busybox reboot -f
";

/// A guest: its kernel, and a disk before the one that its root filesystem is on.
struct Guest {
    owner: Owner,
    unpacked: Unpacked,
    disk: PathBuf,
    other: PathBuf,
    uuid: uuid::Uuid,
}

impl Guest {
    /// A guest with this kernel and init; `None`, with the skip noted, where there can be none.
    fn new(kernel: Option<Kernel>, init: &str) -> Option<Self> {
        let (busybox, kernel, owner) = (busybox()?, kernel?, Owner::new()?);
        let at = |name: &str| owner.home().join(name);
        let (disk, other) = (at("root.ext4"), at("other.ext4"));
        let mut files = kernel.files;
        for folder in ["dev/", "proc/", "sys/"] {
            files.push((folder.to_owned(), Vec::new()));
        }
        files.push(("bin/busybox".to_owned(), busybox));
        files.push((init.to_owned(), INIT.into()));
        let uuid = rootfs(&owner, &disk, &files);
        rootfs(&owner, &other, &[("sbin/init".to_owned(), b"#!/bin/false".into())]);
        let unpacked = unpack(&owner, &kernel.image, Some(&disk));
        assert!(unpacked.well, "{}", unpacked.said);
        Some(Self { owner, unpacked, disk, other, uuid })
    }

    /// Boots as bangerd would have it, with words behind that. Returns what was said on the console.
    fn boot(&self, root: Root, more: &str) -> String {
        let line = kernel_command_line(root, Accelerator::Tcg, banger_proto::VmmKind::Firecracker);
        // This machine has no keyboard to be reset by, and under emulation no clock that tells the others'
        // speed: without a word on it the kernel often waits for ever.
        let line = format!("{} tsc_early_khz=1000000 {more}", line.replace("reboot=k", "reboot=t"));
        let mut qemu = self.owner.command("timeout");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        qemu.args(["120", "qemu-system-x86_64", "-M", "microvm", "-accel", "tcg", "-cpu", "max"])
            .args(["-m", "128", "-no-reboot", "-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-serial", "stdio", "-kernel", &text(&self.unpacked.vmlinux)])
            .args(["-initrd", &text(&self.unpacked.initrd), "-append", &line])
            .args([
                "-netdev",
                "user,id=net,restrict=on",
                "-device",
                "virtio-net-device,netdev=net",
            ]);
        for (id, disk) in [("root", &self.disk), ("other", &self.other)] {
            let drive = format!("id={id},file={},format=raw,if=none", text(disk));
            qemu.args(["-drive", &drive, "-device", &format!("virtio-blk-device,drive={id}")]);
        }
        let output = qemu.output().expect("QEMU can be started");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {complained}\n{said}", output.status);
        said
    }

    fn kept(&self) -> String {
        let disk = std::fs::File::open(&self.disk).unwrap();
        let disk = Filesystem::open(Arc::new(FileDisk::new(disk).unwrap())).unwrap();
        let kept = disk.read_file(&ImagePath::new("/kept").unwrap(), 100).unwrap_or_default();
        String::from_utf8(kept).unwrap()
    }
}

#[test]
fn a_kernel_finds_its_root_by_the_modules_of_its_image_and_becomes_its_init() {
    let Some(guest) = Guest::new(image::kernel(), "sbin/init") else { return };
    let said =
        guest.boot(Root::Uuid(guest.uuid), "virtio-blk.queue_depth=48 colour=red single -- more");
    let told = |word: &str| {
        let line = said.lines().find_map(|line| line.split_once(&format!("guest: {word} ")));
        line.unwrap_or_else(|| panic!("no {word} in:\n{said}")).1.trim()
    };
    assert_eq!(told("init"), "1 /sbin/init single more, red");
    assert_eq!(told("root"), "/ ext4 rw");
    assert_eq!(told("dev"), "1");
    assert_eq!(told("mounts"), "4", "the root, /dev, /proc and /sys, and nothing of before");
    let modules = "failover net_failover virtio virtio_blk virtio_mmio virtio_net virtio_ring";
    assert_eq!(told("modules"), modules);
    assert_eq!(told("cards"), "eth0 lo");
    assert_eq!(told("depth"), "48", "what is said to a module reaches it");
    assert_eq!(told("left"), "0");
    assert!(!said.contains("banger-init:"), "{said}");
    assert_eq!(guest.kept(), "kept\n");
    // By its name: which of the two disks is the first one, the machine says.
    for name in ["vda", "vdb"] {
        let said = guest.boot(Root::FirstDisk, &format!("root=/dev/{name} ro init=/sbin/init"));
        let is_other = said.contains("cannot run the init that was asked for, /sbin/init");
        assert!(is_other || said.contains("guest: root / ext4 ro"), "{said}");
    }
    assert_eq!(guest.kept(), "kept\n", "what is read-only is not written");
}

#[test]
fn a_kernel_whose_ext4_is_a_module_has_what_that_needs_softly_too() {
    let Some(guest) = Guest::new(image::modular_kernel(), "sbin/init") else { return };
    let said = guest.boot(Root::Uuid(guest.uuid), "");
    let modules = said.lines().find_map(|line| line.split_once("guest: modules "));
    let modules: Vec<_> =
        modules.unwrap_or_else(|| panic!("{said}")).1.split_whitespace().collect();
    for name in ["crc32c_generic", "ext4", "jbd2", "mbcache", "virtio_blk", "virtio_mmio"] {
        assert!(modules.contains(&name), "no {name} among {modules:?}");
    }
    assert!(said.contains("guest: root / ext4 rw") && !said.contains("banger-init:"), "{said}");
    assert_eq!(guest.kept(), "kept\n");
}

#[test]
fn what_keeps_a_guest_from_its_init_is_said_and_it_ends() {
    let Some(guest) = Guest::new(image::kernel(), "sbin/other") else { return };
    let says = |root: Root, more: &str, what: &str| {
        let said = guest.boot(root, more);
        assert!(said.contains(&format!("banger-init: cannot {what}")), "no {what} in:\n{said}");
        // So that bangerd notices at once, and says it.
        assert!(said.contains("Kernel panic - not syncing: Attempted to kill init!"), "{said}");
        let Diagnosis::NoInit(why) = diagnose(&said, Vmm::Ended("")) else { panic!("{said}") };
        assert!(why.starts_with(&format!("it cannot {what}")), "{why}");
    };
    let own = Root::Uuid(guest.uuid);
    says(own, "", "find an init on the root filesystem: there is none");
    says(own, "init=/absent", "run the init that was asked for, /absent: there is none");
    says(own, "rootfstype=xfs", "mount the root filesystem /dev/vd");
    says(own, "rootflags=nonsense", "mount the root filesystem /dev/vd");
    says(
        own,
        "root=LABEL=x",
        "look for the root filesystem by LABEL=x: the kernel does not take it",
    );
    says(
        Root::Uuid(uuid::Uuid::nil()),
        "",
        "find the disk of the root filesystem by its UUID, among vda vdb: there is none",
    );
    let said = guest.boot(own, "init=/sbin/other");
    assert!(said.contains("guest: init 1 /sbin/other"), "{said}");
}
