//! The testbed's disk, made by the engine as an image that is imported is made, its kernel and its initial RAM disk.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_ext4::{
    Attributes, Batch, FileDisk, Flush, FormatOptions, ImagePath, Ownership, TarStream, Timestamp,
};

use super::cache::{Cache, Kind, key};
use super::recipe;
use crate::image::path;
use crate::{engine, initrd, repository};

/// Bytes of the disk.
pub(super) const SIZE: u64 = 8 << 30;

const INIT: &[u8] = include_bytes!("../../testbed/recipe/init");

/// What is put on top of the packages: path, mode, content.
const FILES: &[(&str, u16, &[u8])] = &[
    ("/usr/local/sbin/testbed-ready", 0o755, include_bytes!("../../testbed/recipe/ready.sh")),
    (
        "/etc/systemd/system/testbed-ready.service",
        0o644,
        include_bytes!("../../testbed/recipe/ready.service"),
    ),
    ("/etc/hostname", 0o644, b"testbed\n"),
    ("/etc/hosts", 0o644, b"127.0.0.1 localhost testbed\n::1 localhost\n"),
    // Guests of a guest: the processor that QEMU emulates has AMD's virtualisation.
    ("/etc/modules-load.d/kvm.conf", 0o644, b"kvm_amd\n"),
    // A machine that has one has booted before.
    ("/etc/machine-id", 0o444, b"7e57bed07e57bed07e57bed07e57bed0\n"),
];

/// What makes the unit start with the machine.
const LINK: (&str, &str) = (
    "/etc/systemd/system/multi-user.target.wants/testbed-ready.service",
    "../testbed-ready.service",
);

/// The kind of part in the cache.
const KIND: Kind = Kind::lasting("testbed-image");

/// The disk, the kernel, the initial RAM disk.
#[derive(Debug, Clone)]
pub(super) struct Image {
    folder: PathBuf,
}

impl Image {
    /// Its key: the packages, what is put on top of them, and who makes the filesystem.
    pub(super) fn key() -> String {
        let recipe = recipe::content();
        let mut parts = vec![recipe.as_bytes(), INIT, LINK.0.as_bytes(), LINK.1.as_bytes()];
        for (name, mode, content) in FILES {
            parts.extend([name.as_bytes(), if *mode == 0o755 { b"x" } else { b"-" }, content]);
        }
        let ours = include_bytes!("image.rs");
        let engine: Vec<_> = sources(&repository().join("ext4/src"));
        parts.push(ours);
        parts.extend(engine.iter().map(Vec::as_slice));
        key(parts)
    }

    /// The one in the cache, if it is there. The lock is held.
    pub(super) fn find(cache: &Cache, key: &str) -> Option<Self> {
        let folder = cache.part(KIND, key);
        folder.exists().then(|| {
            Cache::touch(&folder);
            Self { folder }
        })
    }

    /// The one in the cache, made when it is absent; `None`, with the skip noted, where it cannot
    /// be made. The lock is held for making.
    pub(super) fn make(cache: &Cache, key: &str) -> Option<Self> {
        if let Some(there) = Self::find(cache, key) {
            return Some(there);
        }
        let busybox = initrd::busybox()?;
        let tar = recipe::tar(cache)?;
        let folder = cache.make(KIND, key, |folder| fill(folder, &tar, &busybox));
        Some(Self { folder })
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("kernel")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }
}

fn fill(folder: &Path, tar: &Path, busybox: &[u8]) {
    let file = File::create_new(folder.join("disk")).expect("the cache can be written");
    file.set_len(SIZE).expect("a file can be made longer");
    let disk = Arc::new(FileDisk::new(file).expect("the file has a length"));
    // The same each time: the image is named by what it is made of.
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions {
        zeroed: true,
        ..FormatOptions::new(*b"banger's testbed", *b"the testbed's :)", now)
    };
    let mut batch = Batch::create(disk, &options).expect("a file can be formatted");
    let tar = BufReader::with_capacity(1 << 20, File::open(tar).expect("the tar is there"));
    batch
        .ingest(&ImagePath::root(), &mut TarStream::new(tar), Ownership::Keep)
        .expect("the packages can be taken in");
    for (name, mode, content) in FILES {
        let attributes = Attributes { mode: *mode, uid: 0, gid: 0 };
        batch.write_file(&path(name), attributes, content).expect("there is room");
    }
    batch.symlink(&path(LINK.0), LINK.1.as_bytes(), 0, 0).expect("there is room");
    batch.commit(Flush::ProcessSafe).expect("the file can be written");

    let filesystem = engine::open(&folder.join("disk"));
    let read = |name: &str| filesystem.read_file(&path(name), 64 << 20).expect("it is there");
    fs::write(folder.join("kernel"), read("/boot/vmlinuz")).expect("the cache can be written");
    let modules = [("virtio_blk.ko".to_owned(), read("/boot/virtio_blk.ko"))];
    fs::write(folder.join("initrd"), initrd::archive(busybox, INIT, &modules))
        .expect("the cache can be written");
}

/// The content of every file below a folder, in the order of their names.
fn sources(folder: &Path) -> Vec<Vec<u8>> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let content = |path: &PathBuf| {
        if path.is_dir() { sources(path) } else { vec![fs::read(path).unwrap()] }
    };
    entries.iter().flat_map(content).collect()
}
