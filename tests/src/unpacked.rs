//! What bangerd's worker makes of Debian's kernel and of a root filesystem with its modules.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use banger_ext4::{Attributes, Batch, FileDisk, Flush, FormatOptions, ImagePath, Timestamp};
use command_fds::{CommandFdExt, FdMapping};
use uuid::Uuid;

use crate::owner::{self, Owner};
use crate::skip;

/// What of the kernel's files is taken: the lists, and what virtio's modules and ext4's lie among.
const TAKEN: [&str; 13] = [
    "/modules.",
    "/kernel/drivers/virtio/",
    "/kernel/drivers/block/virtio_blk",
    "/kernel/drivers/net/virtio_net",
    "/kernel/drivers/net/net_failover",
    "/kernel/net/core/failover",
    "/kernel/fs/fuse/",
    "/kernel/fs/ext4/",
    "/kernel/fs/jbd2/",
    "/kernel/fs/mbcache",
    "/kernel/lib/crc16",
    "/kernel/crypto/crc32c",
    "/kernel/arch/x86/crypto/crc32c",
];

/// A distribution's kernel, and files of it from the root on, without the first slash.
#[derive(Debug)]
pub struct Kernel {
    /// Its bzImage.
    pub image: Vec<u8>,
    /// Which one it is.
    pub release: String,
    /// The lists and some of its modules.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The kernel of the Debian that guests in tests run, where its tar is at hand already; `None` with the skip
/// noted otherwise.
pub fn debian() -> Option<Kernel> {
    let cache = owner::cache(&owner::account()?).unwrap();
    let is_debian = |name: &str| name.starts_with("debian-") && name.ends_with(".tar");
    let tar = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| is_debian(&name.to_string_lossy())));
    let Some(tar) = tar else {
        skip("Debian's root filesystem is not in the cache yet (the suite `guest` makes it)");
        return None;
    };
    Some(Kernel::from(&tar))
}

impl Kernel {
    /// The kernel in a tar of a root filesystem.
    pub fn from(tar: &Path) -> Self {
        let (mut image, mut release, mut files) = (Vec::new(), String::new(), Vec::new());
        let mut archive = tar::Archive::new(File::open(tar).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
            let modules = path.split_once("lib/modules/").map_or("", |(_, rest)| rest);
            if let Some(name) = path.strip_prefix("boot/vmlinuz-") {
                release = name.to_owned();
                entry.read_to_end(&mut image).unwrap();
            } else if TAKEN.iter().any(|taken| modules.contains(taken)) && !path.ends_with('/') {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                files.push((path, content));
            }
        }
        assert!(!image.is_empty() && !files.is_empty(), "there is a kernel in it, with modules");
        Self { image, release, files }
    }

    /// The content of the file whose path ends so.
    pub fn file(&self, end: &str) -> &[u8] {
        &self.files.iter().find(|(path, _)| path.ends_with(end)).expect("it is there").1
    }
}

/// Makes a filesystem of 64 MiB, which is the owner's, with these files, all of them programs. What ends with a
/// slash is a folder, `/lib` is a link. Returns its UUID.
pub fn rootfs(owner: &Owner, path: &Path, files: &[(String, Vec<u8>)]) -> Uuid {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(64 << 20).unwrap();
    let uuid = Uuid::new_v4();
    let options = FormatOptions::new(*uuid.as_bytes(), *uuid.as_bytes(), Timestamp::now());
    let mut batch = Batch::create(Arc::new(FileDisk::new(file).unwrap()), &options).unwrap();
    let at = |path: &str| ImagePath::new(path).unwrap();
    let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
    batch.make_directories(&at("/usr/lib"), root).unwrap();
    batch.symlink(&at("/lib"), b"usr/lib", 0, 0).unwrap();
    for (name, content) in files {
        let path = at(&format!("/{}", name.trim_end_matches('/')));
        if name.ends_with('/') {
            batch.make_directories(&path, root).unwrap();
            continue;
        }
        batch.make_directories(&path.parent().unwrap(), root).unwrap();
        batch.write_file(&path, root, content).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    owner.give(path);
    uuid
}

/// What the worker left.
#[derive(Debug)]
pub struct Unpacked {
    /// The kernel inside the kernel.
    pub vmlinux: PathBuf,
    /// The initial RAM disk, empty where none was made.
    pub initrd: PathBuf,
    /// Whether it ended well.
    pub well: bool,
    /// What it said.
    pub said: String,
}

/// Has the worker unpack a kernel, and make an initial RAM disk where there is a root filesystem.
pub fn unpack(owner: &Owner, kernel: &[u8], rootfs: Option<&Path>) -> Unpacked {
    let at = |name: &str| owner.home().join(name);
    let (from, vmlinux, initrd) = (at("vmlinuz"), at("vmlinux"), at("initrd"));
    for (path, content) in [(&from, kernel), (&vmlinux, b""), (&initrd, b"")] {
        owner.write(path, content);
    }
    let open = |path: &Path| File::options().read(true).write(true).open(path).unwrap();
    let mut worker = owner.command(at("bin/bangerd"));
    worker.arg("vmlinux-worker").stdin(File::open(&from).unwrap()).stdout(open(&vmlinux));
    if let Some(rootfs) = rootfs {
        let descriptors = [(4, File::open(rootfs).unwrap()), (5, open(&initrd))];
        let given = descriptors
            .map(|(number, file)| FdMapping { parent_fd: file.into(), child_fd: number });
        worker.fd_mappings(given.into()).unwrap();
    }
    let ended = worker.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    Unpacked { vmlinux, initrd, well: ended.status.success(), said }
}
