//! The images that damage is done to: one a profile, filled with all that gives structures.

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::{Attributes, Batch, Disk, Filesystem, Flush, ImagePath, MemoryDisk, Result};

use crate::profile::Profile;

/// An image and its name.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// True, and says so, when mke2fs and e2fsck are not there: the test then returns.
pub(crate) fn missing() -> bool {
    let absent = crate::fsck::tool("e2fsck").arg("-V").output().is_err();
    if absent {
        crate::skip::skip("e2fsprogs is not installed");
    }
    absent
}

/// A filled image of a profile; as small as its journal lets it be.
pub(crate) fn made(name: &str, folder: &Path) -> Made {
    let profile = Profile::named(name);
    let large = profile.arguments.iter().any(|a| a.starts_with("-b4096"));
    let size = if name == "fast_commit" {
        24 << 20
    } else if large {
        6 << 20
    } else {
        4 << 20
    };
    let tree = folder.join("tree");
    if !tree.exists() {
        fill(&tree);
    }
    let path = folder.join(format!("{name}.img"));
    profile.make_with(&path, size, &["-d", tree.to_str().unwrap()]);
    // -D gives directories the index that mke2fs does not make.
    let out = crate::fsck::tool("e2fsck").args(["-f", "-y", "-D"]).arg(&path).output().unwrap();
    assert!(out.status.code() < Some(4), "{name}: {}", String::from_utf8_lossy(&out.stdout));
    let bytes = Arc::new(fs::read(&path).unwrap());
    fs::remove_file(&path).unwrap();
    Made { name: name.to_owned(), bytes }
}

/// What gives structures: an index of two levels (with small blocks), trees of extents or
/// pointers, attributes within inodes and without, links of both kinds.
fn fill(top: &Path) {
    fs::create_dir_all(top.join("a/b/c/d")).unwrap();
    for folder in ["many", "long", "e", "e/f", "e/g"] {
        fs::create_dir(top.join(folder)).unwrap();
    }
    fs::write(top.join("a/small"), "hello").unwrap();
    fs::write(top.join("a/b/large"), vec![7; 150_000]).unwrap();
    fs::write(top.join("a/b/c/empty"), "").unwrap();
    fs::write(top.join("e/of-a-block"), vec![3; 1024]).unwrap();
    for (name, pieces, step) in [("sparse", 400, 9_000), ("few", 20, 20_000)] {
        let sparse = fs::File::create(top.join(name)).unwrap();
        for n in 0..pieces {
            sparse.write_all_at(b"here", n * step).unwrap();
        }
    }
    symlink("a/small", top.join("link")).unwrap();
    symlink("x".repeat(100), top.join("dangling")).unwrap();
    symlink("loop", top.join("loop")).unwrap();
    fs::hard_link(top.join("a/small"), top.join("again")).unwrap();
    for n in 0..300 {
        let name = format!("many/a-name-of-some-length-so-that-blocks-fill-{n}");
        fs::hard_link(top.join("a/b/c/empty"), top.join(name)).unwrap();
    }
    for n in 0..450 {
        let name = format!("long/{n:0>250}");
        fs::hard_link(top.join("e/of-a-block"), top.join(name)).unwrap();
    }
    for (file, name, len) in [
        ("a/small", "user.short", 10),
        ("a/small", "user.origin", 20),
        ("a/b/large", "user.long", 700),
        ("few", "user.large", 400),
        ("few", "user.other", 40),
        ("a/b", "user.of-a-directory", 300),
    ] {
        // A host without them makes an image without them.
        let value = "v".repeat(len);
        let _ =
            Command::new("setfattr").args(["-n", name, "-v", &value]).arg(top.join(file)).output();
    }
}

/// The same image with a journal that was not replayed: a batch that stopped behind its commit.
/// With `sums` the journal has checksums of version 3.
pub(crate) fn dirty(clean: &Made, sums: bool) -> Made {
    let below: Arc<dyn Disk> = Arc::new(MemoryDisk::from((*clean.bytes).clone()));
    if sums {
        let fs = Filesystem::open(Arc::clone(&below)).unwrap();
        let mut journal = JournalLocation::find(&fs).unwrap().unwrap();
        // Revokes, 64 bits, version 3; crc32c.
        journal.superblock.set_s_feature_incompat(0x13);
        let block = journal.block(0).unwrap() * journal.block_size() as u64;
        below.write_at(block + 0x50, &[4]).unwrap();
        let mut raw = [0; 1024];
        below.read_at(block, &mut raw).unwrap();
        raw[0x28..0x2c].copy_from_slice(&0x13_u32.to_be_bytes());
        raw[0x50] = 4;
        raw[0xfc..0x100].fill(0);
        let sum = banger_ext4::layout::checksum::crc32c(!0, &raw);
        raw[0xfc..0x100].copy_from_slice(&sum.to_be_bytes());
        below.write_at(block, &raw).unwrap();
    }
    // The third flush is never reached: the log is whole, nothing is in its place.
    let stopping = Arc::new(Stopping { below: Arc::clone(&below), left: 2.into() });
    let mut batch = Batch::open(stopping).unwrap();
    let plain = Attributes { mode: 0o644, uid: 0, gid: 0 };
    let path = |text: &str| ImagePath::new(text).unwrap();
    batch.write_file(&path("/a/new"), plain, &[9; 3000]).unwrap();
    batch.make_directories(&path("/new/folder"), plain).unwrap();
    batch.remove(&path("/few")).unwrap();
    batch.commit(Flush::PowerSafe).unwrap();
    let mut bytes = vec![0; clean.bytes.len()];
    below.read_at(0, &mut bytes).unwrap();
    let kind = if sums { "dirty, sums" } else { "dirty" };
    Made { name: format!("{} ({kind})", clean.name), bytes: Arc::new(bytes) }
}

/// A disk that takes writes until it was flushed some times, and then forgets them.
struct Stopping {
    below: Arc<dyn Disk>,
    left: std::sync::atomic::AtomicU32,
}

impl Disk for Stopping {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.below.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        if self.left.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.below.write_at(offset, data)
    }

    fn flush(&self) -> Result<()> {
        let left = self.left.load(std::sync::atomic::Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.below.len()
    }
}
