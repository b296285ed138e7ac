//! Journals that the kernel left behind: our replay beside its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_ext4::journal::superblock::INCOMPAT_REVOKE;
use banger_ext4::{Disk, Error, FileDisk, MemoryDisk, journal};
use banger_tests::{engine, fsck, kernel, manifest, root, skip};

use crate::needs_kernel;

/// Makes the log hold metadata, revoked blocks and blocks that begin with the
/// journal's own magic; with `orphans`, files that are open but have no name.
const WORK: &str = r#"
import os, sys
top, orphans = sys.argv[1], sys.argv[2] == "orphans"
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
held = []
if orphans:
    for n in range(5):
        name = f"{top}/orphan{n}"
        f = open(name, "w+b"); f.write(os.urandom(100000 * n + 10)); f.flush(); os.fsync(f.fileno())
        held.append(f); os.unlink(name)
os.mkdir(top + "/kept"); os.mkdir(top + "/gone")
for n in range(400):
    open(f"{top}/gone/t{n:04d}-" + "x" * 60, "w").write("t%d" % n)
sync(top + "/gone")
for n in range(200):
    with open(f"{top}/kept/f{n}", "w") as f:
        f.write("kept %d\n" % n); f.flush()
        if n % 10 == 0: os.fsync(f.fileno())
os.unlink(top + "/start3"); os.rename(top + "/start4", top + "/start4.renamed")
# Blocks of a directory that go away and become data: these are revoked.
for n in os.listdir(top + "/gone"): os.unlink(top + "/gone/" + n)
os.rmdir(top + "/gone")
sync(top)
with open(top + "/reused", "wb") as f:
    f.write(os.urandom(1 << 20)); f.flush(); os.fsync(f.fileno())
# With data=journal this block is escaped in the log.
with open(top + "/escaped", "wb") as f:
    f.write(b"\xc0\x3b\x39\x98" + os.urandom(8188)); f.flush(); os.fsync(f.fileno())
os.setxattr(top + "/kept/f1", "user.x", b"v" * 300)
os.truncate(top + "/start5", 3)
sync(top)
if sys.argv[5] == "fill":
    # What was a directory's and is revoked becomes data.
    with open(top + "/filler", "wb", buffering=0) as f:
        try:
            while True: f.write(b"\xab" * (1 << 16))
        except OSError: pass
        os.fsync(f.fileno())
import subprocess
subprocess.run(["cp", "--sparse=always", sys.argv[3], sys.argv[4]], check=True)
"#;

/// A filesystem as a power cut leaves it.
fn dirty(
    folder: &Path,
    options: &[&str],
    size: u64,
    mount: &str,
    orphans: bool,
) -> std::path::PathBuf {
    let (live, image) = (folder.join("live"), folder.join("dirty"));
    fsck::mke2fs(&live, size, options);
    kernel::mounted(&live, "rw", |top| {
        let script = r#"for n in $(seq 9); do echo "start $n" > "$1/start$n"; done"#;
        root::script(script, &[top.as_os_str()]).unwrap();
    });
    kernel::mounted(&live, &format!("rw,commit=300{mount}"), |top| {
        let kind = if orphans { "orphans" } else { "none" };
        let script = r#"python3 -c "$1" "$2" "$3" "$4" "$5" "$6"; chmod a+rw "$5""#;
        // With data in the log too, filling would push everything else out of it.
        let leave = mount.contains("data=journal") || options.contains(&"fast_commit");
        let fill = if leave { "leave" } else { "fill" };
        let arguments = [
            WORK.as_ref(),
            top.as_os_str(),
            kind.as_ref(),
            live.as_os_str(),
            image.as_os_str(),
            fill.as_ref(),
        ];
        root::script(script, &arguments).unwrap();
    });
    image
}

fn disk(image: &Path) -> Arc<dyn Disk> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(image).unwrap();
    Arc::new(FileDisk::new(file).unwrap())
}

/// Journal features (incompatible, compatible) that a make must have, so that
/// each way to write a log is really met: 2 is 64bit, 4 asynchronous commits,
/// 0x10 checksums of version 3, 0x20 fast commits; compatible 1 is version 1.
fn compare(make: &str, options: &[&str], mount: &str, orphans: bool, features: (u32, u32)) {
    let folder = tempfile::tempdir().unwrap();
    let image = dirty(folder.path(), options, 64 << 20, mount, orphans);
    let before = std::fs::read(&image).unwrap();
    let as_is = banger_ext4::Filesystem::open_as_is(disk(&image)).unwrap();
    let location = journal::JournalLocation::find(&as_is).unwrap().unwrap();
    let has = (location.superblock.incompat(), location.superblock.s_feature_compat());
    assert_eq!((has.0 & !INCOMPAT_REVOKE, has.1), features, "{make}");
    let in_memory = engine::tree(&image);
    assert!(std::fs::read(&image).unwrap() == before, "{make}: reading wrote nothing");

    let ours = folder.path().join("ours");
    kernel::copy(&image, &ours);
    let done = journal::replay(&disk(&ours)).unwrap();
    assert!(done.needed && done.blocks > 20 && done.transactions > 3, "{make}: {done:?}");
    let revokes = !mount.contains("data=journal");
    assert_eq!(done.revoked > 0, revokes, "{make}: {done:?}");
    assert!(!journal::replay(&disk(&ours)).unwrap().needed, "{make}: once is enough");
    if !orphans {
        fsck::assert_clean(&ours);
    }
    let in_place = engine::tree(&ours);
    let kernel_after = kernel::tree(&ours);
    kernel::mounted(&image, "rw", |_| ());
    let by_kernel = kernel::tree(&image);
    assert!(by_kernel.len() > 200, "{make}");
    for (who, tree) in
        [("in memory", in_memory), ("in place", in_place), ("the kernel, then", kernel_after)]
    {
        manifest::assert_same((make, &by_kernel), (who, &tree));
    }
    kernel::mounted(&ours, "rw", |_| ());
    fsck::assert_clean(&ours);
}

#[test]
fn our_replay_is_the_kernels() {
    needs_kernel!();
    if !root::has("python3") {
        return skip("python3 is not installed");
    }
    compare("the defaults", &[], "", false, (0x12, 0));
    compare("orphans in a list", &[], "", true, (0x12, 0));
    compare("orphans in a file", &["-O", "orphan_file"], "", true, (0x12, 0));
    compare("data in the log", &[], ",data=journal", false, (0x12, 0));
    compare("small blocks", &["-b", "1024"], ",data=journal", false, (0x12, 0));
    compare(
        "no 64bit, no checksums",
        &["-O", "^64bit,^metadata_csum"],
        ",data=journal",
        false,
        (0, 0),
    );
    let old = ["-O", "^metadata_csum"];
    compare("version 1's checksums", &old, ",journal_checksum", false, (2, 1));
    compare("asynchronous commits", &old, ",journal_async_commit,data=writeback", false, (6, 1));
    let ext3 = ["-O", "none,has_journal,filetype,large_file,dir_index"];
    compare("ext3 of old", &ext3, ",data=journal", true, (0, 0));
    compare("fast commits allowed, none there", &["-O", "fast_commit"], "", false, (0x32, 0));
}

#[test]
fn changes_that_only_a_fast_commit_holds_are_refused() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let (live, image) = (folder.path().join("live"), folder.path().join("dirty"));
    fsck::mke2fs(&live, 64 << 20, &["-O", "fast_commit"]);
    kernel::mounted(&live, "rw,commit=300", |top| {
        let script = r#"python3 -c 'if True:
            import os, sys
            for n in range(3):
                f = open(f"{sys.argv[1]}/f{n}", "w"); f.write("x"); f.flush(); os.fsync(f.fileno())
            ' "$1"
            cp --sparse=always "$2" "$3"; chmod a+rw "$3""#;
        root::script(script, &[top.as_os_str(), live.as_os_str(), image.as_os_str()]).unwrap();
    });
    let before = std::fs::read(&image).unwrap();
    let refusal = journal::replay(&disk(&image)).unwrap_err();
    assert!(refusal.to_string().contains("fast_commit"), "{refusal}");
    assert!(std::fs::read(&image).unwrap() == before, "nothing was written");
    // Once the kernel has replayed them, all is well.
    kernel::mounted(&image, "rw", |_| ());
    assert_eq!(engine::tree(&image), kernel::tree(&image));
}

/// Fails for ever after a number of writes, and counts them.
struct Faulty {
    below: MemoryDisk,
    left: AtomicU64,
}

impl Disk for Faulty {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> banger_ext4::Result<()> {
        self.below.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> banger_ext4::Result<()> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            let source = std::io::Error::other("the test pulled the plug");
            return Err(Error::Io { action: "write", offset, source });
        }
        self.below.write_at(offset, data)
    }
    fn flush(&self) -> banger_ext4::Result<()> {
        self.below.flush()
    }
    fn len(&self) -> u64 {
        self.below.len()
    }
}

fn bytes_after(start: &[u8], most: u64) -> (Vec<u8>, bool, u64) {
    let disk =
        Arc::new(Faulty { below: MemoryDisk::from(start.to_vec()), left: AtomicU64::new(most) });
    let shared: Arc<dyn Disk> = disk.clone();
    let complete = journal::replay(&shared).is_ok();
    drop(shared);
    let disk = Arc::into_inner(disk).unwrap();
    (disk.below.into_bytes(), complete, most - disk.left.into_inner())
}

#[test]
fn a_replay_that_was_cut_off_can_be_repeated() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = dirty(folder.path(), &["-b", "1024"], 16 << 20, "", false);
    let start = std::fs::read(&image).unwrap();
    let (whole, complete, writes) = bytes_after(&start, u64::MAX);
    assert!(complete && writes > 20, "{writes}");
    for most in (0..writes).filter(|n| n % 7 == 0 || *n + 4 > writes) {
        let (part, complete, _) = bytes_after(&start, most);
        assert!(!complete);
        let (again, complete, _) = bytes_after(&part, u64::MAX);
        assert!(complete, "after {most} writes");
        assert!(again == whole, "after {most} of {writes} writes the result is another");
    }
}

#[test]
fn damage_in_the_log_is_refused_before_anything_is_written() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = dirty(folder.path(), &["-b", "1024"], 16 << 20, "", false);
    let start = std::fs::read(&image).unwrap();
    let (whole, ..) = bytes_after(&start, u64::MAX);
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(start.clone()));
    let fs = banger_ext4::Filesystem::open_as_is(disk).unwrap();
    let location = journal::JournalLocation::find(&fs).unwrap().unwrap();
    let first = u64::from(location.superblock.s_start());
    let (mut refused, mut harmless) = (0, 0);
    for number in (first..1000).step_by(9) {
        let at = location.block(number).unwrap() as usize * 1024 + 100;
        let mut damaged = start.clone();
        damaged[at] ^= 1;
        let (mut after, complete, writes) = bytes_after(&damaged, u64::MAX);
        if complete {
            // A later transaction has newer content of that block.
            after[at] ^= 1;
            assert!(after == whole, "block {number}");
            harmless += 1;
        } else {
            assert!(after == damaged && writes == 0, "block {number}: nothing was written");
            refused += 1;
        }
    }
    assert!(refused > 5 && harmless > 5, "{refused} refused, {harmless} harmless");
}
