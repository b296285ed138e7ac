//! Firecracker with what the root helper makes for a VM: a fake of it, and the real one where there is one.

use std::collections::BTreeMap;

use banger_tests::repository;
use banger_tests::testbed::{GuestImage, inside_with_fake_firecracker, inside_with_firecracker};
use serde_json::json;

use crate::owning::{
    by, devices, left_of_vms, vm, wait_for, wait_until_nothing_is_there, with_firecracker,
    with_guests,
};
use crate::sh;
use crate::vm::image;

#[test]
fn firecracker_has_its_vms_device_and_tap_and_gives_them_back() {
    inside_with_fake_firecracker(&repository().join("tests/flow/fake-firecracker.py"), || {
        with_firecracker("ann");
        image("ann");
        by("ann", "echo echo >vmm/mode; banger create --name web -p 8080:80");
        let id = vm("web")["id"].as_str().unwrap().to_owned();
        assert_eq!(vm("web")["vmm"], "firecracker", "nobody asked for it by name");
        by("ann", "banger start web");
        let device = format!("banger-u$(id -u ann)-{id}");
        let held = format!("dmsetup info --columns --noheadings --options open {device}");
        assert_eq!(sh(&held).trim(), "1", "by the VMM, and by nobody else");
        assert_eq!(sh("cat /sys/class/net/bgr*/carrier"), "1", "the tap is open");
        let said = by("ann", "banger logs web");
        assert!(said.contains("root=UUID=") && said.contains("frames"), "{said}");
        let ask =
            "exec 3<>/dev/tcp/127.0.0.1/8080; echo hello >&3; read -t 10 -u 3 line; echo $line";
        assert_eq!(by("ann", ask), "hello");
        let walls = by("ann", "banger inspect web");
        assert!(walls.contains("no capabilities") && walls.contains("no_new_privs"), "{walls}");

        by("ann", "banger stop web");
        assert_eq!((vm("web")["state_reason"].as_str(), devices()), (Some(""), String::new()));
        assert!(by("ann", "banger logs web").contains("reboot: Restarting system"));

        by("ann", "banger start web");
        sh("pkill -KILL -f 'firecracker --i[d]'");
        wait_for("web", "failed");
        wait_until_nothing_is_there();

        // Another one was installed since the VM was made.
        by("ann", "echo version=1.14.3 >vmm/mode");
        let said = by("ann", "banger start web || echo status $?");
        assert!(said.contains("CVE-2026-5747") && said.contains("status "), "{said}");
        assert_eq!(devices(), "");
        by("ann", "banger rm web");
        assert_eq!(left_of_vms(), "");
    });
}

/// Makes what is worth reaching, and tells the probe where it is: a tap of ann's that nobody has
/// open, as one is between its making and its VMM; another VM's disks; what listens on the host.
fn bait(other: &str) {
    let device =
        sh(&format!("dmsetup info --columns --noheadings --options minor {}", device(other)));
    let folder = |name: &str| vm(name)["directory"].as_str().unwrap().to_owned();
    let listener = "import socket,time; a=socket.socket(socket.AF_UNIX); a.bind(\"\\0bait\"); a.listen(); \
                    b=socket.socket(); b.bind((\"127.0.0.1\",7777)); b.listen(); time.sleep(900)";
    sh("ip tuntap add dev baittap mode tap vnet_hdr user ann");
    by("ann", &format!("python3 -c '{listener}' bait-marker >/dev/null 2>&1 & echo $! >vmm/pid"));
    let targets = json!({
        "read": {
            "the VM's own key": folder("web") + "/id_ed25519",
            "the VM's record": folder("web") + "/record.json",
            "the host's accounts": "/etc/passwd",
        },
        "change": {
            "another VM's root": format!("/dev/dm-{}", device.trim()),
            "another VM's disk": folder(other) + "/work.ext4",
        },
        "kernel": folder(other) + "/work.ext4",
        "socket": sh("echo ~ann/.local/state/banger/run/bangerd.sock"),
        "abstract": "bait",
        "port": 7777,
        "pid": sh("cat ~ann/vmm/pid").parse::<u32>().unwrap(),
        "marker": "bait-marker",
        "tap": "baittap",
    });
    std::fs::write("/home/ann/vmm/targets", targets.to_string()).unwrap();
}

/// A VM's device.
fn device(name: &str) -> String {
    format!("banger-u$(id -u ann)-{}", vm(name)["id"].as_str().unwrap())
}

#[test]
fn whoever_takes_firecracker_over_has_the_vms_device_and_tap_and_no_others() {
    inside_with_fake_firecracker(&repository().join("tests/flow/fake-firecracker.py"), || {
        with_firecracker("ann");
        image("ann");
        by("ann", "for name in other web; do banger create --name $name; done; banger start other");
        bait("other");
        by("ann", "echo probe >vmm/mode; banger start web");
        let said = by("ann", "banger logs web");
        let told = said.lines().find_map(|line| line.split_once("tried: ")).map(|(_, told)| told);
        let inside: BTreeMap<String, String> =
            serde_json::from_str(told.unwrap_or_else(|| panic!("{said}"))).unwrap();
        let holes: Vec<_> =
            inside.iter().filter(|(_, said)| !said.starts_with("refused")).collect();
        assert!(inside.len() > 15 && holes.is_empty(), "{inside:#?}");
        assert!(inside["attach another tap"].contains("not implemented"), "{inside:#?}");
        // The same attempts work where there are no walls: the test can fail.
        let line = "exec 9</etc/passwd; python3 vmm/probe.py vmm/targets";
        let outside: BTreeMap<String, String> = serde_json::from_str(&by("ann", line)).unwrap();
        assert!(inside.keys().eq(outside.keys()));
        for (what, said) in &outside {
            assert!(said.starts_with("succeeded"), "{what}: {said}");
        }
        let walls = by("ann", "banger inspect web");
        assert!(walls.contains("no tap but its own"), "{walls}");
        assert!(walls.contains("own user, mount, pid, ipc, uts, cgroup, net"), "{walls}");
        by("ann", "banger rm --force web other; kill $(cat vmm/pid)");
        sh("ip link delete baittap");
        assert_eq!(left_of_vms(), "");
    });
}

/// The image `whole`: as `tiny`, with its kernel's modules and an initial RAM disk that finds nothing.
fn whole(name: &str) {
    sh(&format!(
        "cd ~{name}; release=$(uname -r); modules=usr/lib/modules/$release; mkdir -p root/$modules; ln -s usr/lib root/lib; \
         echo nothing | gzip >root/boot/initrd.img-$release; cd /$modules; \
         cp -r --parents modules.builtin* modules.order $(find kernel -name '*virtio*' -o -name '*failover*') ~{name}/root/$modules; \
         cd; depmod --basedir ~{name}/root $release; cd ~{name}; \
         tar -C root -cf whole.tar .; chown {name}: whole.tar"
    ));
    by(name, "banger image import whole whole.tar --size 128M");
}

#[test]
fn a_guest_gets_what_finds_its_disks_out_of_its_images_modules() {
    inside_with_fake_firecracker(&repository().join("tests/flow/fake-firecracker.py"), || {
        with_firecracker("ann");
        image("ann");
        whole("ann");
        by(
            "ann",
            "echo echo >vmm/mode; banger create --name made --image whole --net none --vmm firecracker",
        );
        let files = "ls ~ann/.local/share/banger/images/whole | grep vmlinux";
        assert_eq!(sh(files), "vmlinux\nvmlinux.initrd\nvmlinux.json");
        let stamp = "stat --format=%y ~ann/.local/share/banger/images/whole/vmlinux.initrd";
        let first = sh(stamp);
        by("ann", "banger start made");
        let said = by("ann", "banger logs made");
        assert!(
            said.contains("/vm/initrd of") && said.contains("with virtio_mmio.ko banger-init"),
            "{said}"
        );
        assert_eq!(sh(stamp), first, "it is made once");
        assert_eq!(by("ann", "banger gc --dry-run"), "there is nothing to remove");
        by("ann", "banger stop made");
        // What it is made from has changed.
        by("ann", "touch .local/share/banger/images/whole/vmlinuz; banger start made");
        assert_ne!(sh(stamp), first);
        by("ann", "banger rm --force made; banger image rm whole");
        assert_eq!(sh("ls ~ann/.local/share/banger/images"), "tiny");

        // Without modules the image's own does, and one that does not is told.
        by(
            "ann",
            "banger create --name own --image tiny --net none --vmm firecracker; banger start own",
        );
        let said = by("ann", "banger logs own");
        assert!(said.contains("/vm/initrd of") && !said.contains("banger-init"), "{said}");
        by("ann", "banger rm --force own");
        sh(
            "cd ~ann; rm -r root/usr; echo nothing | gzip >root/boot/initrd.img-$(uname -r); tar -C root -cf bare.tar .; chown ann: bare.tar",
        );
        by("ann", "banger image import bare bare.tar --size 64M");
        let said = by(
            "ann",
            "banger create --name bare --image bare --net none --vmm firecracker || echo status $?",
        );
        assert!(said.contains("would not find its disks") && said.contains("status "), "{said}");
        assert!(said.contains("there is no /lib/modules/"), "{said}");
        by("ann", "banger create --name bare --image bare --net none");
        assert_eq!(vm("bare")["vmm"], "qemu", "nobody asked for Firecracker by name");
        by("ann", "banger rm bare");
        assert_eq!(left_of_vms(), "");
    });
}

#[test]
fn a_debian_guest_lives_under_the_real_firecracker() {
    inside_with_firecracker(&[GuestImage::Debian], || {
        with_guests("ann");
        with_firecracker("ann");
        by("ann", "banger create --name web --cpus 1 --memory 512M -p 8080:80");
        assert_eq!(vm("web")["vmm"], "firecracker");
        let mut said = vec![by("ann", "banger start --timings --timeout 120s web")];
        let line = sh("tr '\\0' ' ' </proc/$(pgrep --oldest --full 'firecracker --i[d]')/cmdline");
        said.push(line);
        said.push(by("ann", "banger inspect web"));
        let inside = "banger exec web -- sh -c 'echo mine >/etc/mine; sync; uname -r; systemd-detect-virt; \
                      findmnt --noheadings --output SOURCE,FSTYPE /; ls /sys/bus/virtio/drivers; hostname'";
        said.push(by("ann", inside));
        by("ann", "banger stop --timeout 200s web");
        assert_eq!((vm("web")["state_reason"].as_str(), devices()), (Some(""), String::new()));
        by("ann", "banger start --timeout 300s web");
        assert_eq!(by("ann", "banger exec web -- cat /etc/mine"), "mine");
        by("ann", "banger rm --force web");
        assert_eq!(left_of_vms(), "");
        for line in said.join("\n").lines() {
            println!("RESULT firecracker: {line}");
        }
    });
}
