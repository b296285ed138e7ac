//! Snapshots of the installed helper, on a real device-mapper with udev beside it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use banger_proto::roothelper::{Change, DeviceHandle, Snapshot};
use banger_proto::{Code, Refusal, VmId};
use banger_roothelper::kernel::device::{Access, Life};
use banger_roothelper::kernel::{Devices, Linux};
use banger_roothelper::{OwnerUid, Ownership};
use banger_tests::testbed::inside_with_helper as inside;

use crate::asking::{attaching, members, node, nothing_is_left, open, owner};
use crate::{number, sh};

const SIZE: u64 = 8 << 20;

fn read(path: &Path, at: u64) -> String {
    let mut content = [0; 8];
    File::open(path).unwrap().read_exact_at(&mut content, at).unwrap();
    String::from_utf8_lossy(&content).into_owned()
}

#[test]
fn a_snapshot_is_attached_lent_and_taken_back_and_keeps_what_was_written() {
    inside(|| {
        let [ann, ben] = members(["ann", "ben"]);
        let base = ann.image("base", SIZE);
        OpenOptions::new().write(true).open(&base).unwrap().write_all_at(b"original", 0).unwrap();
        let vm = VmId::random();
        let made = ann.attach(vm, &base).unwrap();
        assert_eq!((made.change, made.overlay), (Change::Created, Change::Created));
        assert_eq!(made.size_bytes, SIZE);
        let again = ann.attach(vm, &base).unwrap();
        assert_eq!(again, Snapshot { change: Change::None, overlay: Change::None, ..made });

        let node = node(ann, vm);
        assert_eq!(sh(&format!("blockdev --getsize64 {}", node.display())), SIZE.to_string());
        let diskseq = sh(&format!("cat /sys/block/$(basename {})/diskseq", node.display()));
        assert_eq!(diskseq, made.device.diskseq.to_string());
        assert_eq!(owner(&node), (0, 0o600));
        // Under the owner's name, cleared by itself, the base for reading alone; overlays are root's.
        let loops = sh("losetup --list --noheadings --output AUTOCLEAR,RO,SIZELIMIT | sort");
        let overlay = SIZE + (SIZE / 4096 / 256 + 1 + 1) * 4096;
        let rows: Vec<Vec<_>> = loops.lines().map(|row| row.split_whitespace().collect()).collect();
        let (size, overlay) = (SIZE.to_string(), overlay.to_string());
        assert_eq!(rows, [vec!["1", "0", &*overlay], vec!["1", "1", &*size]]);
        let file = format!("/var/lib/banger/{}/{vm}.cow", ann.uid);
        assert_eq!(sh(&format!("stat -c '%a %U %s' {file}")), format!("600 root {overlay}"));

        // Only who owns the VM gets it, and only when it is lent.
        let opens = |user: crate::asking::User| {
            let node = node.clone();
            user.does(move || File::options().read(true).write(true).open(node))
        };
        assert!(opens(ann).is_err());
        let lent = ann.lend(made.device).unwrap();
        assert_eq!(lent.change, Change::Lent);
        assert_eq!(format!("/dev/dm-{}", lent.numbers.1), node.display().to_string());
        assert_eq!(ann.lend(made.device).unwrap().change, Change::None);
        assert_eq!(owner(&node), (ann.uid, 0o600));
        assert!(opens(ben).is_err());
        let vmm = opens(ann).unwrap();
        vmm.write_all_at(b"written!", 0).unwrap();
        vmm.sync_all().unwrap();
        sh(&format!("udevadm trigger --settle --action=change {}", node.display()));
        assert_eq!(owner(&node), (ann.uid, 0o600));

        // Somebody has it open: it is taken back all the same, and stays.
        let refusal = ann.detach(vm).unwrap_err();
        assert_eq!(refusal.code, Code::FailedPrecondition, "{refusal:?}");
        assert_eq!(owner(&node), (0, 0o600));
        assert!(opens(ann).is_err());
        drop(vmm);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        assert_eq!(ann.detach(vm).unwrap(), Change::None);
        nothing_is_left();
        assert_eq!(read(&base, 0), "original");

        let next = ann.attach(vm, &base).unwrap();
        assert_eq!((next.change, next.overlay), (Change::Created, Change::None));
        assert!(next.device.diskseq > made.device.diskseq);
        assert_eq!(read(&crate::asking::node(ann, vm), 0), "written!");
        assert_eq!(ann.lend(made.device).unwrap_err().code, Code::Aborted);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        nothing_is_left();
        // A helper that has gone on for a while and one that has just begun leave the same.
        sh("systemctl stop banger-roothelper.service 2>&1");
        nothing_is_left();
    });
}

/// That it is a refusal of this kind, in which this stands, and which says what helps.
#[track_caller]
fn refused(answer: Result<Snapshot, Refusal>, code: Code, word: &str) {
    let refusal = answer.unwrap_err();
    let told = format!("{} {:?} {}", refusal.message, refusal.chain, refusal.hint);
    assert_eq!(refusal.code, code, "{told}");
    assert!(told.contains(word) && !refusal.hint.is_empty(), "{told}");
}

#[test]
fn what_is_anothers_or_in_the_way_is_refused_and_nothing_is_left() {
    inside(|| {
        let [ann, ben] = members(["ann", "ben"]);
        sh("printf '[quota]\\nvms = 2\\noverlays = \"40M\"\\n' >/etc/banger/roothelper.toml");
        let (base, other) = (ann.image("base", SIZE), ann.image("other", SIZE));
        let (vm, second, third) = (VmId::random(), VmId::random(), VmId::random());
        // A device of our name that is not ours; it is not touched.
        let name = format!("banger-u{}-{vm}", ann.uid);
        sh(&format!("dmsetup create {name} --uuid BANGER-1-u0-{vm}-root --table '0 8 zero'"));
        refused(ann.attach(vm, &base), Code::FailedPrecondition, "device");
        assert_eq!(ann.detach(vm).unwrap(), Change::None);
        sh(&format!("dmsetup info {name}; dmsetup remove --retry {name}"));
        nothing_is_left();
        assert_eq!(sh("find /var/lib/banger -name '*.cow'"), "");

        let made = ann.attach(vm, &base).unwrap();
        refused(ann.attach(vm, &other), Code::FailedPrecondition, "another base image");
        // Another user sees none of it, and may have a VM of the same id.
        let theirs = ben.image("base", SIZE);
        assert_eq!(ben.lend(made.device).unwrap_err().code, Code::NotFound);
        assert_eq!(ben.detach(vm).unwrap(), Change::None);
        let same_id = ben.attach(vm, &theirs).unwrap();
        assert_eq!(ann.lend(same_id.device).unwrap_err().code, Code::Aborted);
        assert_eq!(ben.detach(vm).unwrap(), Change::Removed);

        // The last within the quota, and the next.
        ann.attach(second, &base).unwrap();
        refused(ann.attach(third, &base), Code::ResourceExhausted, "vms");
        assert_eq!(ann.detach(second).unwrap(), Change::Removed);
        let large = ann.image("large", 32 << 20);
        refused(ann.attach(third, &large), Code::ResourceExhausted, "overlays");
        let lavish =
            banger_proto::roothelper::AttachSnapshot { free_bytes: 1 << 60, ..attaching(third) };
        let ask = |request| {
            let base = open(&base);
            ann.asks(|helper| async move { helper.attach_snapshot(request, base).await })
        };
        let answer = ask(lavish);
        refused(answer, Code::ResourceExhausted, "MiB are free");
        let lost =
            banger_proto::roothelper::AttachSnapshot { create_overlay: false, ..attaching(third) };
        let answer = ask(lost);
        refused(answer, Code::NotFound, "overlay");
        // The overlay of a base image of another size.
        refused(ann.attach(second, &large), Code::FailedPrecondition, "another size");

        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        nothing_is_left();
    });
}

#[test]
fn what_goes_or_is_lost_is_told_and_without_rules_nothing_is_made() {
    inside(|| {
        let [ann] = members(["ann"]);
        let (base, vm) = (ann.image("base", SIZE), VmId::random());
        let name = format!("banger-u{}-{vm}", ann.uid);
        let made = ann.attach(vm, &base).unwrap();

        // Its removal waits: it is told, and nothing is made in its place.
        let node = node(ann, vm);
        let held = File::open(&node).unwrap();
        sh(&format!("dmsetup remove --deferred {name}"));
        assert_eq!(ann.detach(vm).unwrap(), Change::RemovalPending);
        refused(ann.attach(vm, &base), Code::FailedPrecondition, "goes with the last");
        assert_eq!(ann.lend(made.device).unwrap_err().code, Code::FailedPrecondition);
        drop(held);
        assert_eq!(ann.detach(vm).unwrap(), Change::None);

        // The host's disk is full: the kernel gives the snapshot up, and it is not handed out.
        let made = ann.attach(vm, &base).unwrap();
        sh("n=0; mkdir /var/tmp/full; for size in 256M 16M 1M 64K 4K; do \
            while fallocate -l $size /var/tmp/full/$((n += 1)); do :; done; done 2>/dev/null");
        let spoil = format!("dd if=/dev/zero of=/dev/mapper/{name} bs=4096 count=256 oflag=direct");
        sh(&format!("{spoil} 2>&1 || true; rm -r /var/tmp/full"));
        sh(&format!("dmsetup status {name} | grep Invalid"));
        refused(ann.attach(vm, &base), Code::FailedPrecondition, "gave");
        assert_eq!(ann.lend(made.device).unwrap_err().code, Code::FailedPrecondition);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);

        // Without the rules nothing appears that somebody could look at.
        sh("mv /usr/lib/udev/rules.d/56-banger-dm.rules /root");
        refused(ann.attach(vm, &base), Code::FailedPrecondition, "56-banger-dm.rules");
        sh("systemctl stop banger-roothelper.service 2>&1");
        nothing_is_left();
    });
}

#[test]
fn root_opens_a_device_only_where_nobody_else_has_it() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = ann.image("base", SIZE);
        let vm = VmId::random();
        let handle = ann.attach(vm, &base).unwrap().device;
        // As the helper does it, but for the verbs.
        let linux = Linux::default();
        let of = Ownership { uid: OwnerUid::new(ann.uid).unwrap(), vm };
        let device = linux.device(of).unwrap().unwrap();
        assert_eq!((device.diskseq, device.size), (Some(handle.diskseq), SIZE));
        assert_eq!((device.life, device.open, device.node_owner), (Life::Active, 0, Some(0)));
        let kind = |access| linux.open_device(&device, access).unwrap_err().kind();
        for access in [Access::Read, Access::Write] {
            let opened = linux.open_device(&device, access).unwrap();
            let writing =
                opened.writing.as_ref().map(|writing| File::from(writing.try_clone().unwrap()));
            assert_eq!(writing.is_some(), access == Access::Write);
            if let Some(writing) = &writing {
                writing.write_all_at(b"patched!", 4096).unwrap();
                writing.sync_all().unwrap();
            }
            assert!(File::from(opened.reading.try_clone().unwrap()).write_at(b"x", 0).is_err());
            assert_eq!(kind(Access::Read), ErrorKind::ResourceBusy);
            assert_eq!(kind(Access::Write), ErrorKind::ResourceBusy);
            // Nor is it lent or removed meanwhile.
            assert_eq!(ann.lend(handle).unwrap_err().code, Code::FailedPrecondition);
            assert_eq!(ann.detach(vm).unwrap_err().code, Code::FailedPrecondition);
        }
        assert_eq!(read(&node(ann, vm), 4096), "patched!");
        // Whoever has it open without having it to himself is somebody else, too.
        let somebody = File::open(node(ann, vm)).unwrap();
        assert_eq!(kind(Access::Read), ErrorKind::ResourceBusy);
        drop(somebody);
        // A device upon it has it open.
        let upon = node(ann, vm);
        sh(&format!(
            "dmsetup create upon --table '0 8 linear {} 0'; udevadm settle",
            upon.display()
        ));
        assert_eq!(kind(Access::Write), ErrorKind::ResourceBusy);
        sh("dmsetup remove --retry upon; udevadm settle");
        ann.lend(handle).unwrap();
        assert_eq!(kind(Access::Read), ErrorKind::ResourceBusy);
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);

        // What has its number now is another disk.
        ann.attach(vm, &base).unwrap();
        assert_eq!(kind(Access::Read), ErrorKind::NotFound);
        let gone = linux.give_node(&device, Some(of.uid)).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert_eq!(owner(&node(ann, vm)), (0, 0o600));
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        nothing_is_left();
    });
}

#[test]
fn many_attach_at_once_and_each_vm_is_made_once() {
    inside(|| {
        let [ann] = members(["ann"]);
        sh("printf '[quota]\\nvms = 4096\\n' >/etc/banger/roothelper.toml");
        let base = ann.image("base", SIZE);
        let attach = |vms: Vec<VmId>| {
            let base = &base;
            let answers = ann.asks(|helper| async move {
                let one = |vm| {
                    let (helper, base) = (helper.clone(), open(base));
                    tokio::spawn(async move { helper.attach_snapshot(attaching(vm), base).await })
                };
                let attaching: Vec<_> = vms.into_iter().map(one).collect();
                let mut answers = Vec::new();
                for attaching in attaching {
                    answers.push(attaching.await.unwrap());
                }
                Ok(answers)
            });
            answers.unwrap()
        };
        let vm = VmId::random();
        let mut made = 0;
        for answer in attach(vec![vm; 50]) {
            match answer {
                Ok(snapshot) => made += usize::from(snapshot.change == Change::Created),
                Err(refusal) => assert_eq!(refusal.code, Code::Aborted, "{refusal:?}"),
            }
        }
        assert_eq!(made, 1);
        assert_eq!(sh("dmsetup ls | grep -c banger; ls /sys/block | grep -c loop10"), "1\n2");
        assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        nothing_is_left();

        // A few at a time: udev's work on the devices keeps so slow a machine from all else,
        // and polkit's answers come too late.
        let some = |vms: &[VmId]| {
            let made = attach(vms.to_vec());
            sh("udevadm settle --timeout=120");
            made
        };
        let many = number("BANGER_HELPER_SNAPSHOTS", 8);
        let vms: Vec<_> = (0..many).map(|_| VmId::random()).collect();
        let begun = Instant::now();
        let made = vms.chunks(4).flat_map(some);
        let devices: Vec<DeviceHandle> = made.map(|made| made.unwrap().device).collect();
        let attached = begun.elapsed();
        for device in devices {
            assert_eq!(ann.lend(device).unwrap().change, Change::Lent);
        }
        let there = sh("dmsetup ls | grep -c banger; ls /sys/block | grep -c loop10");
        assert_eq!(there, format!("{many}\n{}", 2 * many));
        let begun = Instant::now();
        for vm in vms {
            assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        }
        println!(
            "RESULT {many} snapshots at once: attached in {attached:?}, detached one by one in {:?}",
            begun.elapsed()
        );
        nothing_is_left();
    });
}

#[test]
fn whatever_an_image_says_it_is_nobody_believes_it() {
    inside(|| {
        let [ann] = members(["ann"]);
        let links = || {
            sh(
                "udevadm settle; find /dev/disk /dev/mapper /dev/md* -printf '%p %l\\n' 2>/dev/null | sort || true",
            )
        };
        let mounts = || sh("cat /proc/mounts; cat /proc/swaps");
        let (before, mounted) = (links(), mounts());
        let uuid = sh("findmnt --noheadings --output UUID /");
        let put = |image: &Path, at: u64, bytes: &[u8]| {
            OpenOptions::new().write(true).open(image).unwrap().write_all_at(bytes, at).unwrap();
        };
        let image = |name: &str| ann.image(name, SIZE);
        let root = image("root");
        sh(&format!("mkfs.ext4 -q -U {uuid} -L testbed {}", root.display()));
        let swap = image("swap");
        sh(&format!("mkswap {} 2>&1", swap.display()));
        let table = image("table");
        // A partition of type 83 from sector 2048 on, and the beginning of a GPT.
        put(&table, 450, &[0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
        put(&table, 510, b"\x55\xaaEFI PART\0\0\x01\0\x5c");
        let lvm = image("lvm");
        put(&lvm, 512, b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001");
        let luks = image("luks");
        put(&luks, 0, b"LUKS\xba\xbe\0\x01aes\0");
        let md = image("md");
        put(&md, 4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
        let mut vms = Vec::new();
        for image in [&root, &swap, &table, &lvm, &luks, &md] {
            let vm = VmId::random();
            let device = ann.attach(vm, image).unwrap().device;
            ann.lend(device).unwrap();
            // A VMM that writes and closes makes udev look again.
            let node = node(ann, vm);
            ann.does(|| File::options().write(true).open(&node).map(drop)).unwrap();
            sh(&format!("udevadm trigger --settle --action=change {}", node.display()));
            assert_eq!(owner(&node), (ann.uid, 0o600));
            vms.push(vm);
        }
        let ours = |line: &&str| !line.starts_with("/dev/mapper/banger-");
        let now = links();
        let now: Vec<_> = now.lines().filter(ours).collect();
        assert_eq!(now, before.lines().collect::<Vec<_>>());
        assert_eq!(mounts(), mounted);
        assert_eq!(
            sh("ls /sys/block/dm-*/holders /sys/block | grep -c -E 'md[0-9]|loop10.*p1$' || true"),
            "0"
        );
        for vm in vms {
            assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
        }
        nothing_is_left();
    });
}
