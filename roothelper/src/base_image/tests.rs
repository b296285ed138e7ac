//! What is a base image: a table of facts, and descriptors of every kind.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{MemfdFlags, Mode, memfd_create, mkfifoat, open};
use rustix::process::geteuid;
use tempfile::{NamedTempFile, TempDir};

use super::*;

const TMPFS: u64 = 0x0102_1994;
const LIMITS: Limits = Limits { overlay_quota_bytes: 1 << 30, ..UNLIMITED };
const UNLIMITED: Limits = Limits {
    overlay_quota_bytes: u64::MAX,
    vms: 1,
    read_bytes: 1,
    read_paths: 1,
    batch_entries: 1,
    batch_bytes: 1,
    keep_vms: 1,
};

fn owner() -> OwnerUid {
    OwnerUid::new(1000).unwrap()
}

const GOOD: Facts = Facts {
    flags: OFlags::RDONLY,
    kind: FileType::RegularFile,
    filesystem: 0xef53,
    uid: 1000,
    links: 1,
    size: 1 << 30,
};

#[test]
fn what_a_base_image_may_be() {
    let good = [
        GOOD,
        Facts { flags: OFlags::LARGEFILE | OFlags::CLOEXEC | OFlags::DIRECT, ..GOOD },
        Facts { uid: 0, ..GOOD },
        Facts { size: 1 << 20, ..GOOD },
        Facts { size: (1 << 20) + 512, ..GOOD },
    ];
    for facts in good {
        assert_eq!(judge(&facts, owner(), &LIMITS).unwrap(), facts.size, "{facts:?}");
    }
    for (filesystem, name) in FILESYSTEMS {
        assert!(judge(&Facts { filesystem, ..GOOD }, owner(), &LIMITS).is_ok(), "{name}");
    }
}

#[test]
fn what_it_may_not_be_is_told_in_a_word_a_code_and_a_hint() {
    use Code::{FailedPrecondition, InvalidArgument, ResourceExhausted};
    let flags = |flags| Facts { flags, ..GOOD };
    let kind = |kind| Facts { kind, ..GOOD };
    let on = |filesystem| Facts { filesystem, ..GOOD };
    let of = |uid| Facts { uid, ..GOOD };
    let links = |links| Facts { links, ..GOOD };
    let size = |size| Facts { size, ..GOOD };
    let mut bad = vec![
        (flags(OFlags::PATH), "base-image-not-opened", InvalidArgument),
        (flags(OFlags::WRONLY), "base-image-writable", InvalidArgument),
        (flags(OFlags::RDWR), "base-image-writable", InvalidArgument),
        (flags(OFlags::RDWR | OFlags::WRONLY), "base-image-writable", InvalidArgument),
        (of(1001), "base-image-owner", FailedPrecondition),
        (of(65_534), "base-image-owner", FailedPrecondition),
        (of(u32::MAX), "base-image-owner", FailedPrecondition),
        (links(0), "base-image-links", FailedPrecondition),
        (links(2), "base-image-links", FailedPrecondition),
        (size(0), "base-image-size", FailedPrecondition),
        (size(511), "base-image-size", FailedPrecondition),
        (size((1 << 20) - 512), "base-image-size", FailedPrecondition),
        (size((1 << 20) + 511), "base-image-size", FailedPrecondition),
        (size((1 << 30) + 512), "base-image-size", ResourceExhausted),
        (size(u64::MAX - 511), "base-image-size", ResourceExhausted),
    ];
    let no_files = [
        FileType::Directory,
        FileType::Symlink,
        FileType::Fifo,
        FileType::Socket,
        FileType::CharacterDevice,
        FileType::BlockDevice,
        FileType::Unknown,
    ];
    bad.extend(no_files.map(|no_file| (kind(no_file), "base-image-no-file", InvalidArgument)));
    // procfs, sysfs, FUSE, NFS, CIFS, 9p, overlayfs, eCryptfs, FAT, hugetlbfs, pidfs, none.
    let elsewhere = [
        0x9fa0,
        0x6265_6572,
        0x6573_5546,
        0x6969,
        0xff53_4d42,
        0x0102_1997,
        0x794c_7630,
        0xf15f,
        0x4d44,
        0x9584_58f6,
        0x5049_4446,
        0,
    ];
    bad.extend(elsewhere.map(|number| (on(number), "base-image-filesystem", FailedPrecondition)));
    for (facts, word, code) in bad {
        let why = judge(&facts, owner(), &LIMITS).unwrap_err();
        assert_eq!((why.word(), why.refusal().code), (word, code), "{facts:?}");
        assert!(!why.refusal().hint.is_empty(), "{why}");
    }
}

/// A file in memory, since the folder of temporary files may be on any filesystem.
fn file(size: u64) -> NamedTempFile {
    let file = NamedTempFile::new_in("/dev/shm").unwrap();
    file.as_file().set_len(size).unwrap();
    file
}

/// Looks as for whoever tests; root's files are good to any owner.
fn looked(descriptor: impl Into<OwnedFd>) -> Result<BaseImage, NotABaseImage> {
    let ours = geteuid();
    let owner = OwnerUid::new(if ours.is_root() { 12_345 } else { ours.as_raw() }).unwrap();
    let descriptor: OwnedFd = descriptor.into();
    BaseImage::of(descriptor, owner, &Limits::default())
}

fn word(descriptor: impl Into<OwnedFd>) -> &'static str {
    looked(descriptor).unwrap_err().word()
}

#[test]
fn a_file_that_was_opened_for_reading_is_one() {
    let file = file(3 << 20);
    let base = looked(File::open(file.path()).unwrap()).unwrap();
    assert_eq!(base.size(), 3 << 20);
    assert_eq!(facts::look(base.as_fd()).unwrap().filesystem, TMPFS);
}

#[test]
fn descriptors_of_a_file_that_were_opened_otherwise_are_none() {
    let file = file(1 << 20);
    let opened = |flags| open(file.path(), flags, Mode::empty()).unwrap();
    assert_eq!(word(opened(OFlags::RDWR)), "base-image-writable");
    assert_eq!(word(opened(OFlags::WRONLY)), "base-image-writable");
    assert_eq!(word(opened(OFlags::PATH)), "base-image-not-opened");
    // For ioctl() alone.
    assert_eq!(word(opened(OFlags::RWMODE)), "base-image-writable");
}

#[test]
fn what_is_no_file_is_none() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let pipe = open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let said = |descriptor: OwnedFd| looked(descriptor).unwrap_err().to_string();
    assert!(said(File::open(folder.path()).unwrap().into()).contains("a directory"));
    assert!(said(pipe).contains("a pipe"));
    assert!(said(File::open("/dev/null").unwrap().into()).contains("a character device"));
    // A socket is open for both.
    assert_eq!(word(UnixStream::pair().unwrap().0), "base-image-writable");
}

#[test]
fn files_without_a_name_of_their_own_are_none() {
    let memory = File::from(memfd_create("image", MemfdFlags::CLOEXEC).unwrap());
    memory.set_len(1 << 20).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory));
    assert_eq!(word(File::open(path).unwrap()), "base-image-links");
    assert_eq!(word(memory), "base-image-writable");

    let two = file(1 << 20);
    let opened = File::open(two.path()).unwrap();
    let second = two.path().with_extension("second");
    std::fs::hard_link(two.path(), &second).unwrap();
    assert_eq!(word(opened.try_clone().unwrap()), "base-image-links");
    std::fs::remove_file(second).unwrap();
    assert!(looked(opened.try_clone().unwrap()).is_ok());
    drop(two);
    assert_eq!(word(opened), "base-image-links");
}

#[test]
fn sizes_that_make_no_sense_are_none() {
    for size in [0, 511, 512, (1 << 20) - 512, (1 << 20) + 1, 16 << 40, i64::MAX as u64 & !511] {
        let file = file(0);
        if let Err(error) = file.as_file().set_len(size) {
            assert!(size > 16 << 40, "{size}: {error}");
            continue;
        }
        assert_eq!(word(File::open(file.path()).unwrap()), "base-image-size", "{size}");
    }
}

#[test]
fn what_the_kernel_makes_up_is_none() {
    for path in ["/proc/self/status", "/proc/version", "/sys/kernel/uevent_seqnum"] {
        let why = looked(File::open(path).unwrap()).unwrap_err();
        assert_eq!(why.word(), "base-image-filesystem", "{path}: {why}");
    }
}
