//! A small guest for tests: Debian's kernel and sshd from the cached tar, a static busybox,
//! and an init that is a few lines. It boots in a few seconds of a processor under emulation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::initrd;

/// Modules of the kernel that the guest needs, without those that they need themselves.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_net", "evdev", "button"];

/// The first process: mounts the disk and goes there.
const INITRD_INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root || /bin/busybox poweroff -f
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
";

/// busybox's init: what banger adds goes behind the last line of `sysinit`.
const INITTAB: &str = "::sysinit:/etc/rcS
::respawn:/usr/sbin/sshd -D
::ctrlaltdel:/sbin/poweroff
::shutdown:/bin/umount -a -r
";

const RCS: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -a
mkdir -p /run/sshd
hostname -F /etc/hostname
acpid -c /etc/acpi -l /dev/null -p /run/acpid.pid
";

/// Files of the root filesystem: path, mode, content.
const FILES: [(&str, u32, &str); 7] = [
    ("etc/inittab", 0o644, INITTAB),
    ("etc/rcS", 0o755, RCS),
    ("etc/acpi/PWRF/00000080", 0o755, "#!/bin/sh\nexec poweroff\n"),
    ("etc/passwd", 0o644, "root::0:0:root:/root:/bin/sh\nsshd:x:100:100::/run/sshd:/bin/false\n"),
    ("etc/group", 0o644, "root:x:0:\nsshd:x:100:\n"),
    ("etc/ssh/sshd_config", 0o644, "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\n"),
    ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Folders of the root filesystem.
const FOLDERS: [&str; 14] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "boot",
    "usr",
    "usr/bin",
    "usr/sbin",
    "etc/ssh",
    "etc/acpi",
    "etc/acpi/PWRF",
    "usr/lib",
];

/// Makes the guest's root filesystem as a tar in `folder`, out of Debian's `tar`; `None`, with
/// the skip noted, where there is no static busybox.
pub fn tar(debian: &Path, folder: &Path) -> Option<PathBuf> {
    let busybox = initrd::busybox()?;
    let taken = folder.join("debian");
    fs::create_dir(&taken).expect("a folder can be made");
    let names = [
        "./boot/vmlinuz-*",
        "./usr/lib/modules/*/modules.dep",
        "./usr/sbin/sshd",
        "./usr/lib/x86_64-linux-gnu/*.so*",
        "./usr/lib/modules/*/kernel/drivers/virtio/*",
        "./usr/lib/modules/*/kernel/drivers/block/virtio_blk.ko",
        "./usr/lib/modules/*/kernel/drivers/net/*.ko",
        "./usr/lib/modules/*/kernel/net/core/*",
        "./usr/lib/modules/*/kernel/drivers/input/evdev.ko",
        "./usr/lib/modules/*/kernel/drivers/acpi/button.ko",
    ];
    run(Command::new("tar")
        .args(["--extract", "--no-same-owner", "--wildcards", "--directory"])
        .arg(&taken)
        .arg("--file")
        .arg(debian)
        .args(names));
    let release = only(&taken.join("usr/lib/modules"));

    let mut guest = tar::Builder::new(Vec::new());
    for path in FOLDERS {
        add(&mut guest, &format!("{path}/"), 0o755, b"");
    }
    for (path, mode, content) in FILES {
        add(&mut guest, path, mode, content.as_bytes());
    }
    let kernel = fs::read(taken.join(format!("boot/vmlinuz-{release}"))).unwrap();
    add(&mut guest, &format!("boot/vmlinuz-{release}"), 0o644, &kernel);
    let initrd = initrd(&busybox, &taken.join("usr/lib/modules").join(&release));
    add(&mut guest, &format!("boot/initrd.img-{release}"), 0o644, &initrd);
    for (link, target) in
        [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib")]
    {
        symlink(&mut guest, link, target);
    }
    add(&mut guest, "usr/bin/busybox", 0o755, &busybox);
    let applets = run(Command::new("busybox").arg("--list-full"));
    let names: BTreeSet<_> =
        applets.lines().filter_map(|line| line.rsplit('/').next()).chain(["init"]).collect();
    for name in names.into_iter().filter(|name| *name != "busybox") {
        symlink(&mut guest, &format!("usr/bin/{name}"), "busybox");
        symlink(&mut guest, &format!("usr/sbin/{name}"), "../bin/busybox");
    }
    let sshd = taken.join("usr/sbin/sshd");
    add(&mut guest, "usr/sbin/sshd", 0o755, &fs::read(&sshd).unwrap());
    for library in libraries(&taken, &sshd) {
        let name = library.file_name().unwrap().to_str().unwrap().to_owned();
        add(&mut guest, &format!("usr/lib/{name}"), 0o755, &fs::read(&library).unwrap());
    }
    let path = folder.join("tiny.tar");
    fs::write(&path, guest.into_inner().unwrap()).expect("the tar can be written");
    fs::remove_dir_all(taken).unwrap();
    Some(path)
}

/// What a program is linked to, by its own dynamic linker.
fn libraries(taken: &Path, program: &Path) -> Vec<PathBuf> {
    let folder = taken.join("usr/lib/x86_64-linux-gnu");
    let linker = folder.join("ld-linux-x86-64.so.2");
    let told =
        run(Command::new(&linker).arg("--library-path").arg(&folder).arg("--list").arg(program));
    let names = told.lines().filter_map(|line| line.split_once(" => "));
    let mut found: Vec<_> =
        names.map(|(_, rest)| PathBuf::from(rest.split(" (").next().unwrap_or(rest))).collect();
    found.retain(|path| path.file_name() != linker.file_name());
    found.push(linker);
    found
}

/// An initial RAM disk with the modules, in an order in which they can be loaded.
fn initrd(busybox: &[u8], modules: &Path) -> Vec<u8> {
    let dependencies = fs::read_to_string(modules.join("modules.dep")).unwrap();
    let mut order: Vec<&str> = Vec::new();
    for module in MODULES {
        let line = dependencies
            .lines()
            .find(|line| line.split(':').next().unwrap().ends_with(&format!("/{module}.ko")))
            .unwrap_or_else(|| panic!("the kernel has no module {module}"));
        let (own, needed) = line.split_once(':').unwrap();
        // What is needed first stands last.
        for path in needed.split_whitespace().rev().chain([own]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    let read = |path: &&str| {
        let name = path.rsplit('/').next().unwrap().to_owned();
        (name, fs::read(modules.join(path)).unwrap())
    };
    let modules: Vec<_> = order.iter().map(read).collect();
    initrd::archive(busybox, INITRD_INIT.as_bytes(), &modules)
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    if path.ends_with('/') {
        header.set_entry_type(tar::EntryType::Directory);
    }
    tar.append_data(&mut header, path, content).unwrap();
}

fn symlink(tar: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o777);
    header.set_entry_type(tar::EntryType::Symlink);
    tar.append_link(&mut header, path, target).unwrap();
}

/// The name of the only entry of a folder.
fn only(folder: &Path) -> String {
    let mut entries = fs::read_dir(folder).unwrap();
    entries.next().unwrap().unwrap().file_name().into_string().unwrap()
}

/// Runs a program that must succeed and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
