//! Every form that a journal's log has: replayed by us, e2fsck and the kernel alike, and
//! written by us for them to replay.

use std::path::Path;
use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::{Attributes, Batch, Disk, Filesystem, Flush, MemoryDisk, journal};
use banger_tests::image::{disk, path};
use banger_tests::recorder::Recorder;
use banger_tests::{engine, fsck, kernel};

use crate::needs_kernel;

/// Blocks that nobody has, so that a log may name them.
const FIRST: usize = 32_000;
const BLOCK: usize = 1024;

const JOURNAL: &str = "none,has_journal,filetype,extent,ext_attr,sparse_super,dir_index";

/// Name, features of the filesystem, what debugfs makes the journal's checksums.
const FORMS: &[(&str, &str, &str)] = &[
    ("tags of 8 bytes", "", "jo"),
    ("tags of 12 bytes", ",64bit", "jo"),
    ("version 2, tags of 10 bytes", ",metadata_csum", "jo -c -v 2"),
    ("version 2, tags of 14 bytes", ",metadata_csum,64bit", "jo -c -v 2"),
    ("version 3", ",metadata_csum", "jo -c -v 3"),
    ("version 3, 64bit", ",metadata_csum,64bit", "jo -c -v 3"),
];

/// Bits of `s_feature_incompat` that a form must have, so that it is really met.
fn expected(name: &str) -> u32 {
    let wide =
        if name.contains("12") || name.contains("14") || name.contains("64") { 2 } else { 0 };
    let sums = if name.contains("version 2") {
        8
    } else if name.contains("version 3") {
        16
    } else {
        0
    };
    1 | wide | sums
}

/// An image whose log holds: escaped data, a block revoked later, one written again after
/// it was revoked, and one written twice.
fn image(folder: &Path, features: &str, open: &str) -> std::path::PathBuf {
    let image = folder.join("image");
    fsck::mke2fs(&image, 32 << 20, &["-b1024", "-I256", "-O", &format!("{JOURNAL}{features}")]);
    let block = |byte: u8| vec![byte; BLOCK];
    let escaped = [&[0xc0, 0x3b, 0x39, 0x98][..], &block(b'a')[4..]].concat();
    let one = folder.join("one");
    let two = folder.join("two");
    std::fs::write(&one, [escaped, block(b'b'), block(b'c'), block(b'd')].concat()).unwrap();
    std::fs::write(&two, [block(b'e'), block(b'f'), block(b'g')].concat()).unwrap();
    let (one, two) = (one.display(), two.display());
    let script = format!(
        "{open}\njw -b 32000,32001,32002,32003 {one}\njw -r 32001,32002\n\
         jw -b 32002,32003,32004 {two}\njc\n"
    );
    fsck::debugfs(&image, &script);
    image
}

fn replayed(content: &[u8]) -> Vec<u8> {
    content[FIRST * BLOCK..][..5 * BLOCK].to_vec()
}

fn incompat(content: Vec<u8>) -> u32 {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content));
    let fs = Filesystem::open_as_is(disk).unwrap();
    JournalLocation::find(&fs).unwrap().unwrap().superblock.incompat()
}

#[test]
fn every_form_of_a_log_is_replayed_alike() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for (name, features, open) in FORMS {
        let image = image(folder.path(), features, open);
        let before = std::fs::read(&image).unwrap();
        assert_eq!(incompat(before.clone()), expected(name), "{name}");

        let done = journal::replay(&(disk(&image) as Arc<dyn Disk>)).unwrap();
        assert_eq!((done.transactions, done.blocks, done.revoked), (3, 4, 2), "{name}");
        let ours = replayed(&std::fs::read(&image).unwrap());
        let at = |n: usize| (ours[n * BLOCK], ours[n * BLOCK + 9]);
        let all: Vec<_> = (0..5).map(at).collect();
        let letters = [(0xc0, b'a'), (0, 0), (b'e', b'e'), (b'f', b'f'), (b'g', b'g')];
        assert_eq!(all, letters, "{name}");
        fsck::assert_clean(&image);

        std::fs::write(&image, &before).unwrap();
        let status = fsck::tool("e2fsck").arg("-p").arg(&image).output().unwrap().status;
        assert!(status.code().unwrap() <= 1, "{name}: {status}");
        assert!(replayed(&std::fs::read(&image).unwrap()) == ours, "{name}: e2fsck");
        std::fs::write(&image, &before).unwrap();
        kernel::mounted(&image, "rw", |_| ());
        assert!(replayed(&std::fs::read(&image).unwrap()) == ours, "{name}: the kernel");

        // Each bit of the log counts where there are checksums.
        if name.contains("version") {
            damaged(name, &before);
        }
    }
}

/// A byte of a block in the log, or of its tag, changed: nothing is replayed.
fn damaged(name: &str, before: &[u8]) {
    let log = {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(before.to_vec()));
        let fs = Filesystem::open_as_is(disk).unwrap();
        JournalLocation::find(&fs).unwrap().unwrap()
    };
    // The descriptor, a block that is replayed, a commit block, the revoke block.
    for number in [1, 2, 6, 7] {
        let mut content = before.to_vec();
        content[log.block(number).unwrap() as usize * BLOCK + 20] ^= 4;
        let disk = Arc::new(MemoryDisk::from(content.clone()));
        let refused = journal::replay(&(Arc::clone(&disk) as Arc<dyn Disk>));
        assert!(refused.is_err(), "{name}: block {number}: {refused:?}");
        let after = Arc::into_inner(disk).unwrap().into_bytes();
        assert!(after == content, "{name}: block {number}: nothing was written");
    }
}

#[test]
fn what_we_commit_is_replayed_by_others() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let file = Attributes { mode: 0o644, uid: 0, gid: 0 };
    let made = FORMS.iter().map(|(name, features, open)| {
        let image = image(folder.path(), features, open);
        journal::replay(&(disk(&image) as Arc<dyn Disk>)).unwrap();
        (*name, std::fs::read(&image).unwrap())
    });
    let old = [("version 1", ",journal_checksum"), ("asynchronous", ",journal_async_commit")];
    let old = old.iter().map(|(name, options)| {
        let image = folder.path().join("image");
        fsck::mke2fs(&image, 32 << 20, &["-b1024", "-I256", "-O", JOURNAL]);
        kernel::mounted(&image, &format!("rw,data=writeback{options}"), |top| {
            std::fs::write(top.join("by-the-kernel"), b"x").unwrap();
        });
        (*name, std::fs::read(&image).unwrap())
    });
    let all: Vec<(&str, Vec<u8>)> = made.chain(old).collect();
    for (name, before) in all {
        let recorder = Arc::new(Recorder::new(before.clone()));
        let mut batch = Batch::open(Arc::clone(&recorder) as Arc<dyn Disk>).unwrap();
        // Begins as blocks of the journal do: a target is metadata, and so is logged.
        let magic = [&[0xc0, 0x3b, 0x39, 0x98][..], &[b'y'; 500]].concat();
        batch.symlink(&path("/link"), &magic, 0, 0).unwrap();
        for n in 0..200 {
            batch.write_file(&path(format!("/file-{n}")), file, b"content").unwrap();
        }
        assert!(batch.commit(Flush::PowerSafe).unwrap().atomic, "{name}");
        // All up to the commit point, and nothing behind it.
        let image = folder.path().join("crashed");
        let mut content = before;
        for (offset, bytes) in recorder.epochs().into_iter().take(2).flatten() {
            let at = usize::try_from(offset).unwrap();
            content[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        std::fs::write(&image, &content).unwrap();
        let ours = engine::tree(&image);
        assert!(ours.len() > 200, "{name}: the log is complete");
        let status = fsck::tool("e2fsck").arg("-p").arg(&image).output().unwrap().status;
        assert!(status.code().unwrap() <= 1, "{name}: {status}");
        fsck::assert_clean(&image);
        assert!(engine::tree(&image) == ours, "{name}: e2fsck");
        std::fs::write(&image, &content).unwrap();
        assert!(kernel::mounted(&image, "rw", kernel::list) == ours, "{name}: the kernel");
        fsck::assert_clean(&image);
    }
}
