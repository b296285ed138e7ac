//! QEMU's command line, as a pure function of what a VM is.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use banger_proto::PortForward;

use super::spec::{Accelerator, Disk, VmmSpec};
use crate::net::{AddressPlan, MacAddress};
use crate::share::{self, DESCRIPTORS};
use crate::spawn::{Program, QEMU};

/// Descriptor under which QEMU finds the listening control socket.
pub const CONTROL_DESCRIPTOR: RawFd = 3;
/// Descriptor under which QEMU finds its end of the network.
pub const NETWORK_DESCRIPTOR: RawFd = 4;

/// A program that runs VMs: all of it is data, so that it can be read in a test.
pub trait Vmm {
    /// What is started.
    fn program(&self) -> &'static Program;
    /// What it is told, when its files are at `places`.
    fn arguments(&self, spec: &VmmSpec, places: &Places, run: &Run) -> Vec<OsString>;
}

/// Where the VMM sees its files: the host's paths, or those inside its walls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Kernel image.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Root filesystem.
    pub rootfs: PathBuf,
    /// Work disk.
    pub work_disk: PathBuf,
    /// Console log, which exists.
    pub console: PathBuf,
    /// The console's line, without the `.in` and `.out` of its two ends, which exist.
    pub line: PathBuf,
}

/// What is decided anew for every start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What executes the guest's instructions.
    pub accelerator: Accelerator,
    /// How the guest's network card is connected.
    pub network: Cable,
}

/// The other end of the guest's network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cable {
    /// Nothing: the guest has no card.
    None,
    /// A stream socket under [`NETWORK_DESCRIPTOR`], with passt at its other end.
    Stream,
    /// QEMU's own user-mode network.
    Slirp {
        /// The ports of the host that lead to the guest, its sshd's first.
        forwards: Vec<PortForward>,
    },
    /// A tap, open under [`NETWORK_DESCRIPTOR`].
    Tap {
        /// The card's address, which the tap's bridge knows.
        mac: MacAddress,
    },
}

/// QEMU with the q35 machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Qemu;

/// A forward as QEMU writes it, in its errors too.
pub(super) fn hostfwd(forward: &PortForward) -> String {
    format!(
        "{}:{}:{}-:{}",
        forward.protocol.as_str(),
        forward.address,
        forward.host.unwrap_or(0),
        forward.guest
    )
}

/// Begins a `key=value` list whose values may hold commas, which QEMU wants doubled.
fn option(head: &str, values: &[(&str, &Path)]) -> OsString {
    let mut text = head.as_bytes().to_vec();
    for (key, value) in values {
        text.extend_from_slice(format!(",{key}=").as_bytes());
        for byte in value.as_os_str().as_bytes() {
            if *byte == b',' {
                text.push(b',');
            }
            text.push(*byte);
        }
    }
    OsString::from_vec(text)
}

impl Vmm for Qemu {
    fn program(&self) -> &'static Program {
        &QEMU
    }

    fn arguments(&self, spec: &VmmSpec, places: &Places, run: &Run) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        add(&["-name", &format!("banger-{}", spec.id)]);
        // Nothing that was not asked for: no default devices, no user's configuration.
        add(&["-nodefaults", "-no-user-config", "-nographic"]);
        // A guest that reboots or panics ends its VMM: disks and keys go in before a start.
        add(&["-no-reboot"]);
        add(&[
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ]);
        // q35 and not microvm: microvm hangs now and then in Debian's timer calibration
        // under software emulation.
        let shared = if spec.shares.is_empty() { "" } else { ",memory-backend=memory" };
        add(&["-machine", &format!("q35,vmport=off,graphics=off{shared}")]);
        if !spec.shares.is_empty() {
            // A file server writes what it reads straight into the guest's memory.
            let size = spec.memory_mib;
            let memory = format!("memory-backend-memfd,id=memory,size={size}M,share=on");
            add(&["-object", &memory]);
        }
        match run.accelerator {
            Accelerator::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
            // Without a size QEMU keeps up to 1 GiB of translated code beside the guest's memory.
            Accelerator::Tcg => add(&["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"]),
        }
        add(&["-smp", &spec.cpus.to_string(), "-m", &format!("{}M", spec.memory_mib)]);

        line.push("-kernel".into());
        line.push(places.kernel.clone().into());
        if let Some(initrd) = &places.initrd {
            line.push("-initrd".into());
            line.push(initrd.clone().into());
        }
        line.push("-append".into());
        line.push(spec.append.clone().into());

        let root_is_file = matches!(spec.rootfs, Disk::File(_));
        let disks = [("root", &places.rootfs, root_is_file), ("work", &places.work_disk, true)];
        for (name, path, is_file) in disks {
            let head = format!("driver=raw,node-name={name}");
            let head = if is_file {
                // What the guest discards leaves holes in the file on the host.
                let head = format!("{head},discard=unmap,detect-zeroes=unmap,file.driver=file");
                format!("{head},file.aio=threads,file.discard=unmap")
            } else {
                // A snapshot gives nothing back before it goes.
                format!("{head},file.driver=host_device,file.aio=threads")
            };
            line.push("-blockdev".into());
            line.push(option(&head, &[("file.filename", path)]));
            line.push("-device".into());
            line.push(format!("virtio-blk-pci,drive={name},serial=banger-{name}").into());
        }

        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        add(&["-object", "rng-random,id=rng,filename=/dev/urandom"]);
        add(&["-device", "virtio-rng-pci,rng=rng"]);

        for (index, descriptor) in (0..spec.shares.len()).zip(DESCRIPTORS) {
            let name = share::tag(index);
            add(&["-chardev", &format!("socket,id={name},fd={descriptor}")]);
            add(&["-device", &format!("vhost-user-fs-pci,chardev={name},tag={name}")]);
        }

        let backend = match &run.network {
            Cable::None => None,
            Cable::Stream => {
                Some(format!("stream,id=net,server=off,addr.type=fd,addr.str={NETWORK_DESCRIPTOR}"))
            }
            Cable::Slirp { forwards } => {
                let plan = AddressPlan::USER_MODE;
                let mut backend = format!(
                    "user,id=net,ipv6=off,net={}/{},host={},dns={},dhcpstart={}",
                    plan.network(),
                    plan.prefix,
                    plan.gateway,
                    plan.dns,
                    plan.address,
                );
                for forward in forwards {
                    backend.push_str(",hostfwd=");
                    backend.push_str(&hostfwd(forward));
                }
                Some(backend)
            }
            Cable::Tap { .. } => Some(format!("tap,id=net,fd={NETWORK_DESCRIPTOR},vhost=off")),
        };
        if let Some(backend) = backend {
            let mac = match run.network {
                Cable::Tap { mac } => mac,
                _ => MacAddress::of(spec.id),
            };
            add(&["-netdev", &backend]);
            // An empty romfile: there is nothing to boot from the network, and
            // loading the card's boot program takes time.
            add(&["-device", &format!("virtio-net-pci,netdev=net,mac={mac},romfile=")]);
        }

        // All that is written goes to the log, and nowhere else: nobody who reads can hold the
        // guest up, and nobody has to read. What comes in is a pipe, which QEMU holds open at
        // both ends and so never sees end. Appending lets the log be cut while QEMU writes it.
        line.push("-chardev".into());
        line.push(option(
            "pipe,id=console,logappend=on",
            &[("path", &places.line), ("logfile", &places.console)],
        ));
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        add(&["-serial", "chardev:console"]);
        add(&[
            "-chardev",
            &format!("socket,id=control,fd={CONTROL_DESCRIPTOR},server=on,wait=off"),
            "-mon",
            "chardev=control,mode=control",
        ]);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Choice;

    fn spec() -> VmmSpec {
        VmmSpec {
            id: "6f1c1c1e-7d0a-4b53-9d35-0d4f7f3f0a11".parse().unwrap(),
            directory: "/state/vms/6f1c".into(),
            kernel: "/state/images/debian/vmlinuz".into(),
            initrd: Some("/state/images/debian/initrd".into()),
            append: "root=/dev/vda console=ttyS0".into(),
            rootfs: Disk::File("/state/vms/6f1c/rootfs.ext4".into()),
            work_disk: "/state/vms/6f1c/a,b.ext4".into(),
            cpus: 2,
            memory_mib: 1024,
            network: Choice::Automatic,
            publish: Vec::new(),
            shares: Vec::new(),
            kind: banger_proto::VmmKind::Qemu,
        }
    }

    fn places(spec: &VmmSpec) -> Places {
        Places {
            kernel: spec.kernel.clone(),
            initrd: spec.initrd.clone(),
            rootfs: spec.rootfs.path().to_owned(),
            work_disk: spec.work_disk.clone(),
            console: spec.directory.join("console.log"),
            line: spec.directory.join("console"),
        }
    }

    /// One option a line.
    fn text(spec: &VmmSpec, run: &Run) -> String {
        let mut text = String::new();
        for word in Qemu.arguments(spec, &places(spec), run) {
            let word = word.into_string().unwrap();
            text.push_str(if word.starts_with('-') { "\n" } else { " " });
            text.push_str(&word);
        }
        text.trim_start().to_owned()
    }

    #[test]
    fn a_device_is_opened_as_one_and_gives_nothing_back() {
        let run = Run { accelerator: Accelerator::Tcg, network: Cable::Stream };
        let file = text(&spec(), &run);
        let rootfs = Disk::Device("/dev/dm-3".into());
        let device = text(&VmmSpec { rootfs, ..spec() }, &run);
        let added: Vec<_> = device.lines().filter(|line| !file.contains(line)).collect();
        let root = "-blockdev driver=raw,node-name=root,file.driver=host_device,file.aio=threads,\
                    file.filename=/dev/dm-3";
        assert_eq!(added, [root]);
    }

    #[test]
    fn emulated_with_passt() {
        let run = Run { accelerator: Accelerator::Tcg, network: Cable::Stream };
        insta::assert_snapshot!(text(&spec(), &run));
    }

    #[test]
    fn accelerated_with_slirp_and_no_initrd() {
        let run = Run {
            accelerator: Accelerator::Kvm,
            network: Cable::Slirp {
                forwards: vec![
                    PortForward::loopback(40022, 22),
                    "0.0.0.0:5353:53/udp".parse().unwrap(),
                ],
            },
        };
        let spec = VmmSpec { initrd: None, ..spec() };
        insta::assert_snapshot!(text(&spec, &run));
    }

    #[test]
    fn a_tap_is_a_descriptor_and_a_card_of_the_address_that_is_its_own() {
        let line = |network| text(&spec(), &Run { accelerator: Accelerator::Tcg, network });
        let stream = line(Cable::Stream);
        let tap = line(Cable::Tap { mac: crate::net::Tap::sample().card.mac });
        let added: Vec<_> = tap.lines().filter(|line| !stream.contains(line)).collect();
        let card = "-device virtio-net-pci,netdev=net,mac=02:62:ac:10:00:07,romfile=";
        assert_eq!(added, ["-netdev tap,id=net,fd=4,vhost=off", card]);
        assert_eq!(tap.lines().count(), stream.lines().count());
    }

    #[test]
    fn without_a_network_there_is_no_card() {
        let run = Run { accelerator: Accelerator::Tcg, network: Cable::None };
        assert!(!text(&spec(), &run).contains("net"));
    }
}
