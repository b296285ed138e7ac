//! Firecracker's configuration and command line, as pure functions of what a VM is.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};

use crate::net::Choice;
use crate::vmm::qemu::Places;
use crate::vmm::spec::VmmSpec;

/// Where it has its configuration, its log and the folder of its sockets, inside its walls.
pub(super) const CONFIGURATION: &str = "/vm/configuration.json";
pub(super) const LOG: &str = "/vm/log";
pub(super) const SOCKETS: &str = "/vm/sockets";
/// The guest's number on its vsock; each VM has a socket of its own on the host.
const CONTEXT: u32 = 3;

/// The words after its name.
pub(super) fn arguments(spec: &VmmSpec, api: &str) -> Vec<OsString> {
    let words = [
        "--id",
        &format!("banger-{}", spec.id),
        "--api-sock",
        &format!("{SOCKETS}/{api}"),
        "--config-file",
        CONFIGURATION,
        // Without one it says everything on standard output, which is the guest's console.
        "--log-path",
        LOG,
        "--level",
        "Warning",
    ];
    words.map(OsString::from).into()
}

/// The file that it reads, with its files at `places`.
pub(super) fn configuration(spec: &VmmSpec, places: &Places, vsock: &str) -> Value {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let disk = |name: &str, path: &Path| {
        json!({
            "drive_id": name,
            "path_on_host": text(path),
            // What the kernel is told of its root is ours to say.
            "is_root_device": false,
            "is_read_only": false,
            // What the guest flushes is on the host's disk; by default it would not be.
            "cache_type": "Writeback",
        })
    };
    let mut boot = json!({
        "kernel_image_path": text(&places.kernel),
        "boot_args": spec.append,
    });
    if let (Some(initrd), Some(boot)) = (&places.initrd, boot.as_object_mut()) {
        boot.insert("initrd_path".into(), text(initrd).into());
    }
    // It opens the tap by its name.
    let cards: Vec<_> = match &spec.network {
        Choice::Tap(tap) => vec![json!({
            "iface_id": "net",
            "guest_mac": tap.card.mac.to_string(),
            "host_dev_name": tap.name,
        })],
        _ => Vec::new(),
    };
    json!({
        "boot-source": boot,
        "drives": [disk("root", &places.rootfs), disk("work", &places.work_disk)],
        "machine-config": {
            "vcpu_count": spec.cpus,
            "mem_size_mib": spec.memory_mib,
            "smt": false,
        },
        "network-interfaces": cards,
        "entropy": {},
        "vsock": { "guest_cid": CONTEXT, "uds_path": format!("{SOCKETS}/{vsock}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Tap;
    use crate::vmm::spec::Disk;
    use crate::vmm::walls::places_inside;

    #[test]
    fn a_vm_on_a_device() {
        let spec = VmmSpec {
            id: "6f1c1c1e-7d0a-4b53-9d35-0d4f7f3f0a11".parse().unwrap(),
            directory: "/state/vms/6f1c".into(),
            kernel: "/state/images/debian/vmlinux".into(),
            initrd: Some("/state/images/debian/initrd".into()),
            append: "root=/dev/vda console=ttyS0 reboot=k".into(),
            rootfs: Disk::Device("/dev/dm-3".into()),
            work_disk: "/state/vms/6f1c/work.ext4".into(),
            cpus: 2,
            memory_mib: 1024,
            network: Choice::Tap(Tap::sample()),
            publish: Vec::new(),
            shares: Vec::new(),
            kind: banger_proto::VmmKind::Firecracker,
        };
        let told = configuration(&spec, &places_inside(&spec), "vsock");
        let words = arguments(&spec, "api");
        let words = words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>();
        let told = serde_json::to_string_pretty(&told).unwrap();
        insta::assert_snapshot!(format!("{}\n{told}", words.join(" ")));
        let alone = VmmSpec { initrd: None, network: Choice::None, ..spec };
        let told = configuration(&alone, &places_inside(&alone), "vsock").to_string();
        assert!(!told.contains("initrd") && !told.contains("guest_mac"), "{told}");
    }
}
