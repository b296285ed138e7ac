//! VMs whose root filesystem and tap are the root helper's, as members of the group run them; their VMM is a fake.

use banger_tests::repository;
use banger_tests::testbed::inside_with_banger;

use crate::owning::{
    by, devices, left_of_vms, overlays, vm, vm_of, wait_for, wait_until_nothing_is_there, with_fake,
};
use crate::{number, sh};

/// A helper that is installed, and ann, a member who has the image `tiny`.
pub fn inside(test: impl FnOnce()) {
    inside_with_banger(&repository().join("tests/flow/fake-qemu.py"), || {
        member("ann");
        test();
    });
}

/// A user who may ask the helper and has the image `tiny`.
fn member(name: &str) {
    with_fake(name);
    sh(&format!("gpasswd --add {name} banger"));
    image(name);
}

/// Gives a user the image `tiny`: a kernel, and an initial RAM disk that has the name of a driver.
pub fn image(name: &str) {
    sh(&format!(
        "cd ~{name}; mkdir -p root/boot root/etc/ssh root/root; release=$(uname -r); \
         cp /boot/vmlinuz root/boot/vmlinuz-$release; echo virtio_mmio | gzip >root/boot/initrd.img-$release; \
         echo '/dev/sda1 /home ext4 defaults 0 2' >root/etc/fstab; touch root/etc/ssh/sshd_config; \
         tar -C root -cf tiny.tar .; chown {name}: tiny.tar"
    ));
    by(name, "banger image import tiny tiny.tar --size 64M");
}

#[test]
fn a_member_runs_a_vm_on_a_snapshot_and_nothing_is_left_of_it() {
    inside(|| {
        let base = "sha256sum ~ann/.local/share/banger/images/*/rootfs.ext4";
        let before = sh(base);
        by("ann", "banger create --name web");
        let made = vm("web");
        assert_eq!(made["isolation"], "system");
        assert_eq!(devices(), "", "a VM that never ran has none");

        let said = by("ann", "banger start web");
        assert!(said.contains("no way out") && said.contains("nat = true"), "{said}");
        let id = made["id"].as_str().unwrap();
        let uid = sh("id -u ann");
        let name = format!("banger-u{uid}-{id}");
        assert!(devices().contains(&name), "{}", devices());
        let node = sh("readlink -f /sys/class/block/dm-* | head -1 | xargs basename");
        assert_eq!(sh(&format!("stat --format='%U %a' /dev/{node}")), "ann 600");
        // What bangerd planned is on the device, and nowhere else.
        let read = |path: &str| sh(&format!("debugfs -R 'cat {path}' /dev/{node} 2>/dev/null"));
        assert_eq!(read("/etc/hostname"), "web");
        let fstab = read("/etc/fstab");
        assert!(!fstab.contains("/home") && fstab.contains(" /root "), "{fstab}");
        assert_eq!(sh(base), before, "the image is as it was");
        assert!(!sh("ls ~ann/.local/state/banger/vms/*").contains("rootfs.ext4"), "no copy");
        let work = sh("ls ~ann/.local/state/banger/vms/*/work.ext4");
        assert!(work.contains(id), "the work disk is the owner's own: {work}");

        // Its guest is on the bridge, and its VMM has the tap open.
        let running = &vm("web")["running"];
        let text = |key: &str| running[key].as_str().unwrap_or_default().to_owned();
        let (tap, address) = (text("tap"), text("address"));
        assert_eq!((text("network").as_str(), text("ssh_host")), ("bridge", address.clone()));
        assert!(devices().contains(&tap) && tap.starts_with("bgr"), "{tap} in {}", devices());
        assert!(by("ann", "banger logs web").contains(&format!("tap {tap} frames")));
        let link = sh(&format!("ip -details link show {tap}"));
        assert!(link.contains("master banger0") && link.contains("isolated on"), "{link}");
        let pid = running["vmm_pid"].as_u64().unwrap();
        assert_eq!(sh(&format!("ls -l /proc/{pid}/fd | grep -c 'tun$'")), "1");
        let (told, resolvers) = (read("/etc/banger/network.conf"), read("/etc/resolv.conf"));
        assert!(told.contains(&format!("ADDRESS={address}\n")), "{told}");
        assert!(!resolvers.contains("nameserver "), "it has no way to one: {resolvers}");
        assert_eq!(by("ann", "banger ip web 2>/dev/null"), address);
        assert!(by("ann", "banger inspect web").contains(&format!("{address} port 22")));

        by("ann", "banger stop web");
        assert_eq!(devices(), "");
        assert_eq!(overlays(), format!("0 600 {id}.cow"));
        // A second start goes on with what the first one's guest has.
        by("ann", "banger start web");
        assert!(devices().contains(&name));
        by("ann", "banger rm --force web");
        assert_eq!((devices(), overlays()), (String::new(), String::new()));
        assert_eq!(sh(base), before);
    });
}

#[test]
fn whatever_is_killed_the_devices_of_vms_that_rest_are_taken_back() {
    inside(|| {
        by("ann", "banger create --name web; banger start web");
        // bangerd alone: the VM goes on.
        sh("pkill -KILL -x bangerd");
        assert_eq!(vm("web")["state"], "running");
        assert!(!devices().is_empty());
        // Its VMM.
        sh("pkill -KILL -f qemu-system-x86_64");
        wait_for("web", "failed");
        wait_until_nothing_is_there();
        // Both at once, and the helper too: the next bangerd sees to it.
        by("ann", "banger start web");
        sh(
            "pkill -KILL -x bangerd; pkill -KILL -x banger-roothelp; pkill -KILL -f qemu-system-x86_64",
        );
        assert!(!devices().is_empty());
        wait_for("web", "failed");
        wait_until_nothing_is_there();
        // What the guest had is still its own.
        by("ann", "banger start web");
        assert_eq!(sh("ls /var/lib/banger/*/*.cow | wc -l"), "1");
        by("ann", "banger rm --force web");
        assert_eq!((devices(), overlays()), (String::new(), String::new()));
    });
}

#[test]
fn each_owner_has_taps_and_networks_of_their_own_choice() {
    inside(|| {
        member("cid");
        by("ann", "banger create --name web; banger start web");
        by("cid", "banger create --name web; banger start web");
        let tap = |owner| vm_of(owner, "web")["running"]["tap"].as_str().unwrap().to_owned();
        let (anns, cids) = (tap("ann"), tap("cid"));
        assert_ne!(anns, cids);
        let address =
            |owner| vm_of(owner, "web")["running"]["address"].as_str().unwrap().to_owned();
        assert_ne!(address("ann"), address("cid"));
        // Whoever cleans up does so at home.
        by("cid", "banger gc; banger rm --force web");
        assert!(devices().contains(&anns) && !devices().contains(&cids), "{}", devices());
        by("ann", "banger wait web --for ssh --timeout 10s");

        // The other networks are to be had as before, and the bridge for none but the helper's VMs.
        by("ann", "banger create --name own --net user; banger start own");
        let own = vm("own");
        assert!(own["isolation"] == "system" && own["network"] == "user", "{own}");
        assert!(own["running"]["tap"].is_null() && own["running"]["ssh_host"] == "127.0.0.1");
        let said = by("ann", "banger create --net bridge --isolation rootless || echo status $?");
        assert!(said.contains("status ") && said.contains("root helper's"), "{said}");

        // A tap that is gone, by whomever, hinders neither the end nor another beginning.
        sh(&format!("ip link delete {anns}"));
        by("ann", "banger stop --timeout 2s web; banger start web");
        assert_eq!(tap("ann"), anns, "what is whose follows from whose it is");
        by("ann", "banger rm --force web own");
        wait_until_nothing_is_there();
    });
}

#[test]
fn published_ports_lead_to_the_bridge_for_as_long_as_the_vm_runs() {
    inside(|| {
        by(
            "ann",
            "echo echo >vmm/mode; banger create --name web -p 8080:80 -p 81; banger start web",
        );
        assert_eq!(by("ann", "banger port web 80"), "127.0.0.1:8080");
        assert!(by("ann", "banger inspect web").contains("published ports: no_new_privs"));
        let ask =
            "exec 3<>/dev/tcp/127.0.0.1/8080; echo hello >&3; read -t 10 -u 3 line; echo $line";
        assert_eq!(by("ann", ask), "hello");
        let said = by(
            "ann",
            "banger create --name other -p 8080:80; banger start other || echo status $?",
        );
        assert!(said.contains("taken by the VM web") && said.contains("status "), "{said}");
        // The daemon may go, and the ports stay.
        sh("pkill -KILL -x bangerd");
        assert_eq!(by("ann", ask), "hello");
        assert_eq!(by("ann", "banger port web 80"), "127.0.0.1:8080");
        let forwarders = "pgrep -cf 'bangerd forward-port[s]' || true";
        assert_eq!(sh(forwarders), "1");
        sh("pkill -KILL -f qemu-system-x86_64");
        wait_for("web", "failed");
        wait_until_nothing_is_there();
        assert_eq!(sh(forwarders), "0");
        by("ann", "banger start other; banger rm --force web other");
        assert_eq!((devices(), sh(forwarders)), (String::new(), "0".into()));
    });
}

#[test]
fn vms_of_a_member_live_at_once_and_leave_nothing() {
    inside(|| {
        let vms = number("BANGER_PARALLEL_VMS", 5);
        let live = |number: u64| {
            by(
                "ann",
                &format!(
                    "banger create -q --name vm-{number} >/dev/null; banger start -q vm-{number}; \
                     banger ip vm-{number}; banger stop -q vm-{number}; banger rm -q vm-{number}"
                ),
            )
        };
        let said: Vec<_> = std::thread::scope(|scope| {
            let lives: Vec<_> = (0..vms).map(|number| scope.spawn(move || live(number))).collect();
            lives.into_iter().map(|life| life.join().unwrap()).collect()
        });
        let addresses: Vec<_> = said.iter().filter_map(|said| said.lines().last()).collect();
        assert_eq!(addresses.len() as u64, vms, "{said:?}");
        assert!(addresses.iter().all(|address| address.starts_with("172.16.0.")), "{addresses:?}");
        assert_eq!((left_of_vms(), by("ann", "banger ls -q")), (String::new(), String::new()));
        println!(
            "RESULT VMs of a member at once on snapshots and the bridge: {vms} of {vms}, nothing left"
        );
    });
}

#[test]
fn a_start_that_fails_leaves_nothing_and_who_may_not_is_told() {
    inside(|| {
        by("ann", "banger create --name web; echo ends-at-once >vmm/mode");
        let said = by("ann", "banger start web || echo status $?");
        assert!(said.contains("status ") && said.contains("told to end"), "{said}");
        assert_eq!((devices(), overlays()), (String::new(), String::new()));
        by("ann", "echo >vmm/mode; banger start web; banger stop web");

        // An overlay that is gone is not made anew behind the guest's back.
        sh("rm /var/lib/banger/*/*.cow");
        let said = by("ann", "banger start web || echo status $?");
        assert!(said.contains("what the guest had written is gone"), "{said}");
        by("ann", "banger rm web");

        // Rootless where it is asked for.
        by("ann", "banger create --name plain --isolation rootless; banger start plain");
        assert_eq!((vm("plain")["isolation"].as_str(), devices().as_str()), (Some("rootless"), ""));
        by("ann", "banger rm --force plain");

        // Who is not of the group does without, and is told what helps when not.
        with_fake("ben");
        image("ben");
        let said = by("ben", "banger create --name theirs --isolation system || echo status $?");
        assert!(said.contains("usermod") && said.contains("status "), "{said}");
        by("ben", "banger create --name theirs; banger start theirs");
        assert_eq!(devices(), "");
        by("ben", "banger rm --force theirs");

        // Without a helper a VM of its can be removed, and made no more.
        by("ann", "banger create --name last");
        sh("systemctl disable --now banger-roothelper.socket; systemctl stop banger-roothelper");
        let said = by("ann", "banger start last || echo status $?");
        assert!(said.contains("status ") && said.contains("root helper"), "{said}");
        by("ann", "banger rm last");
        let said = by("ann", "banger create --isolation system || echo status $?");
        assert!(said.contains("banger-roothelper.socket"), "{said}");
    });
}
