//! Descriptors that are no base image, or that nobody asked for.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use banger_proto::VmId;
use banger_proto::roothelper::Change;
use banger_tests::testbed::inside_with_helper as inside;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, mkfifoat};
use tonic::Code;

use super::{Bad, attach, each, ready};
use crate::asking::{User, members};
use crate::files::{FSTAB, filesystem};
use crate::hygiene::There;
use crate::sh;

fn read_only(path: impl AsRef<Path>) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// A file of a user's on a filesystem of its own, which takes files of any length.
fn in_memory(user: User, name: &str, bytes: u64) -> PathBuf {
    let path = PathBuf::from(format!("/dev/shm/{name}"));
    File::create(&path).unwrap().set_len(bytes).unwrap();
    chown(&path, Some(user.uid), None).unwrap();
    path
}

#[test]
fn a_descriptor_is_a_base_image_or_refused_and_closed() {
    inside(|| {
        let [ann, ben] = members(["ann", "ben"]);
        ready(ann);
        no_base_images(ann, ben);
        on_a_loop_device(ann);
    });
}

fn no_base_images(ann: User, ben: User) {
    let base = ann.image("base", 1 << 20);
    let memory = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
    memory.set_len(1 << 20).unwrap();
    let memory_again = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let two = ann.image("two", 1 << 20);
    sh(&format!("ln {} /var/tmp/second", two.display()));
    let gone = ann.image("gone", 1 << 20);
    let opened = read_only(&gone);
    std::fs::remove_file(&gone).unwrap();
    let bens = ben.image("bens", 1 << 20);
    let (fifo, flags) = ("/var/tmp/fifo", OFlags::RDONLY | OFlags::NONBLOCK);
    mkfifoat(rustix::fs::CWD, fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let fifo = rustix::fs::open(fifo, flags, Mode::empty()).unwrap();
    let name = OpenOptions::new().read(true).custom_flags(libc_o_path()).open(&base).unwrap();
    let both = OpenOptions::new().read(true).write(true).open(&base).unwrap();
    let of_base = sh(&format!("losetup --find --show {}", base.display()));
    let socket = std::os::unix::net::UnixStream::pair().unwrap().0;
    let shadow = "/etc/shadow";

    let (wrong, first) = (Code::InvalidArgument, Code::FailedPrecondition);
    let alone: Vec<(_, OwnedFd, _)> = vec![
        ("a directory", read_only("/var/tmp"), wrong),
        ("a pipe", fifo, wrong),
        ("memory", read_only(memory_again), first),
        ("memory that can be written", memory.into(), wrong),
        ("a name alone", name.into(), wrong),
        ("a file that can be written", both.into(), wrong),
        ("a socket", socket.into(), wrong),
        ("the disk of the host", read_only("/dev/vda"), wrong),
        ("a loop device", read_only(&of_base), wrong),
        ("a character device", read_only("/dev/null"), wrong),
        ("a file of the kernel's", read_only("/proc/version"), first),
        ("another file of the kernel's", read_only("/sys/kernel/uevent_seqnum"), first),
        ("a file with two names", read_only(&two), first),
        ("a file without one", opened, first),
        ("another user's file", read_only(&bens), first),
        ("a file of root's that is none", read_only(shadow), first),
    ];
    let mut bad = Vec::new();
    for (what, descriptor, code) in alone {
        let load = vec![vec![descriptor]];
        bad.push(Bad::new(what, "AttachSnapshot", &attach(), code).with(load));
    }
    for size in [0, 1, 511, 512, (1 << 20) - 1, (1 << 20) + 1] {
        let load = vec![read_only(in_memory(ann, &format!("of-{size}"), size))];
        let what = format!("a file of {size} bytes");
        bad.push(Bad::new(what, "AttachSnapshot", &attach(), first).with(vec![load]));
    }
    // The longest that there is, of 2^63 - 1 bytes, has no whole sectors.
    for (size, code) in [
        (16 << 40, Code::ResourceExhausted),
        ((1 << 63) - 512, Code::ResourceExhausted),
        ((1 << 63) - 1, first),
    ] {
        let load = vec![read_only(in_memory(ann, &format!("of-{size}"), size))];
        let what = format!("a file of {size} bytes");
        bad.push(Bad::new(what, "AttachSnapshot", &attach(), code).with(vec![load]));
    }
    let many = |count| (0..count).map(|_| read_only(&base)).collect::<Vec<_>>();
    for counts in [vec![2], vec![3], vec![200], vec![253], vec![1, 1]] {
        let what = format!("{counts:?} descriptors");
        let loads = counts.into_iter().map(many).collect();
        let bad_one = Bad::new(what, "AttachSnapshot", &attach(), wrong).with(loads);
        bad.push(Bad { ends: None, ..bad_one });
    }
    bad.push(Bad::new("no descriptor", "AttachSnapshot", &attach(), wrong));
    bad.push(Bad::new("one to list", "ListObjects", &(), wrong).with(vec![many(1)]));
    each(ann, bad);
    sh(&format!("losetup --detach {of_base}"));
}

/// `O_PATH`, which std has no word for.
fn libc_o_path() -> i32 {
    OFlags::PATH.bits().cast_signed()
}

/// A loop device of ours would stand on a filesystem that itself stands on one: that is no reason to refuse it, and
/// what is below can be taken away afterwards.
fn on_a_loop_device(ann: User) {
    let inner = filesystem(ann, "inner");
    sh(&format!(
        "truncate -s 64M /var/tmp/outer; mkfs.ext4 -q /var/tmp/outer; mkdir /run/outer; \
         mount -o loop /var/tmp/outer /run/outer; cp -p {} /run/outer/base; sync",
        inner.display()
    ));
    let below = PathBuf::from("/run/outer/base");
    let (vm, before) = (VmId::random(), There::now());
    let made = ann.attach(vm, &below).unwrap();
    assert_eq!(made.change, Change::Created);
    assert_eq!(ann.read(made.device, "/etc/fstab").unwrap(), FSTAB.as_bytes());
    ann.write(made.device, 2).unwrap();
    assert_eq!(ann.read(made.device, "/etc/f1").unwrap(), b"new 1");
    // It is held, as any mount with an open file is.
    assert!(sh("umount /run/outer 2>&1 || true").contains("busy"));
    assert_eq!(ann.detach(vm).unwrap(), Change::Removed);
    ann.discard(vm).unwrap();
    before.is_all("a base image on a loop device");
    sh("umount /run/outer; udevadm settle; [ -z \"$(losetup --list --noheadings)\" ]");
}
