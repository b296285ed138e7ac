//! A crash at any point of a commit leaves all of the batch or none of it.

use std::path::Path;
use std::sync::Arc;

use banger_ext4::{Attributes, Batch, Disk, Filesystem, Flush, MemoryDisk};
use banger_tests::image::path;
use banger_tests::recorder::{Random, Recorder, crash_states};
use banger_tests::{engine, fsck, kernel, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
/// States an epoch is tried in, for each way of choosing sectors; more by
/// `BANGER_CRASH_SAMPLE`.
fn sample() -> u64 {
    std::env::var("BANGER_CRASH_SAMPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

fn change(batch: &mut Batch) {
    let content: Vec<u8> = (0..30_000_u32).flat_map(u32::to_le_bytes).collect();
    batch.write_file(&path("/etc/hostname"), FILE, b"new\n").unwrap();
    batch.write_file(&path("/etc/large"), FILE, &content).unwrap();
    batch.make_directory(&path("/etc/dir"), FILE).unwrap();
    batch.symlink(&path("/etc/link"), b"hostname", 0, 0).unwrap();
    batch.remove(&path("/etc/conf1")).unwrap();
    batch.remove_recursive(&path("/gone")).unwrap();
    for n in 0..100 {
        batch.write_file(&path(format!("/many/new-file-{n}")), FILE, b"x").unwrap();
    }
    // Begins as blocks of the journal do.
    let magic: Vec<u8> = [&[0xc0, 0x3b, 0x39, 0x98][..], &[1; 4092]].concat();
    batch.write_file(&path("/etc/magic"), FILE, &magic).unwrap();
}

fn tree(content: &[u8]) -> Vec<String> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content.to_vec()));
    engine::tree_of(&Filesystem::open(disk).unwrap())
}

/// Old or new, and right either way.
fn judge(image: &Path, state: &[u8], old: &[String], new: &[String], mount: bool) -> bool {
    let ours = tree(state);
    std::fs::write(image, state).unwrap();
    let output = fsck::tool("e2fsck").arg("-p").arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let trouble = ["FIXED", "CLEARED", "WRONG", "INCONSISTENCY", "orphan"];
    assert!(
        output.status.code().unwrap() <= 1 && !trouble.iter().any(|word| said.contains(word)),
        "e2fsck -p: {} {said}",
        output.status
    );
    fsck::assert_clean(image);
    let is_new = ours == new;
    assert!(is_new || ours == old, "neither the old tree nor the new");
    if mount {
        // The journal as the crash left it, replayed by the kernel.
        std::fs::write(image, state).unwrap();
        let theirs = kernel::mounted(image, "rw", kernel::list);
        assert!(theirs == ours, "the kernel replays the same");
        fsck::assert_clean(image);
    }
    // And by us, in place.
    std::fs::write(image, state).unwrap();
    Batch::open(banger_tests::image::disk(image)).unwrap().commit(Flush::ProcessSafe).unwrap();
    fsck::assert_clean(image);
    assert!(engine::tree(image) == ours, "our replay in place");
    is_new
}

#[test]
fn a_crash_leaves_all_of_a_batch_or_none() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("crash.img");
    let mut random = Random::new(1);
    for (name, size, arguments, mounted_before) in [
        ("1k, never mounted", 12 << 20, &["-b", "1024"][..], false),
        ("4k, never mounted", 24 << 20, &["-b", "4096", "-J", "size=4"], false),
        ("4k", 24 << 20, &["-b", "4096", "-J", "size=4"], true),
        ("no checksums", 12 << 20, &["-b", "1024", "-O", "^metadata_csum,^64bit"], true),
        ("no 64bit", 12 << 20, &["-b", "1024", "-O", "^64bit"], true),
        ("fast_commit", 24 << 20, &["-b", "1024", "-O", "fast_commit", "-J", "size=8"], true),
    ] {
        fsck::mke2fs(&image, size, arguments);
        let script = r#"cd "$1"; mkdir etc many gone; for n in $(seq 20); do echo $n > etc/conf$n
            echo $n > gone/$n; done"#;
        if mounted_before {
            kernel::mounted(&image, "rw", |top| root::script(script, &[top.as_os_str()]));
        } else {
            let mut batch = Batch::open(banger_tests::image::disk(&image)).unwrap();
            for folder in ["/etc", "/many", "/gone"] {
                batch.make_directory(&path(folder), FILE).unwrap();
            }
            batch.write_file(&path("/etc/conf1"), FILE, b"1").unwrap();
            batch.commit_in_order(Flush::ProcessSafe).unwrap();
        }
        let before = std::fs::read(&image).unwrap();
        let old = tree(&before);
        let disk = Arc::new(Recorder::new(before.clone()));
        let mut batch = Batch::open(Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
        change(&mut batch);
        let committed = batch.commit(Flush::PowerSafe).unwrap();
        assert!(committed.atomic, "{name}");
        let epochs = disk.epochs();
        let mut after = before.clone();
        apply(&mut after, &epochs.concat());
        let new = tree(&after);
        assert_ne!(old, new);
        let states = crash_states(&epochs, sample(), &mut random);
        let (mut olds, mut news) = (0, 0);
        for (n, writes) in states.iter().enumerate() {
            let mut state = before.clone();
            apply(&mut state, writes);
            match judge(&image, &state, &old, &new, n % 5 == 0) {
                true => news += 1,
                false => olds += 1,
            }
        }
        println!("{name}: {} states, {olds} old, {news} new", states.len());
        assert!(olds > 5 && news > 5, "{name}: both sides of the commit point were seen");
    }
}

#[test]
fn a_crash_while_replaying_and_reaping_does_no_harm() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("replay.img");
    let mut random = Random::new(2);
    // e2fsck 1.47.0 does not come to terms with an orphan file that is in use.
    for (arguments, by_e2fsck) in
        [(&["-b", "1024"][..], true), (&["-b", "4096", "-O", "orphan_file"], false)]
    {
        let dead = crate::dirty::killed(folder.path(), arguments);
        let before = std::fs::read(&dead).unwrap();
        let expected = tree(&before);
        let disk = Arc::new(Recorder::new(before.clone()));
        let batch = Batch::open(Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
        batch.commit(Flush::PowerSafe).unwrap();
        for writes in crash_states(&disk.epochs(), sample(), &mut random) {
            let mut state = before.clone();
            apply(&mut state, &writes);
            assert!(tree(&state) == expected, "every state is read as the same tree");
            if by_e2fsck {
                std::fs::write(&image, &state).unwrap();
                let status = fsck::tool("e2fsck").arg("-p").arg(&image).output().unwrap().status;
                assert!(status.code().unwrap() <= 1, "{status}");
                fsck::assert_clean(&image);
                assert!(engine::tree(&image) == expected, "and so it is once e2fsck replayed");
            }
            std::fs::write(&image, &state).unwrap();
            let again = Batch::open(banger_tests::image::disk(&image)).unwrap();
            again.commit(Flush::ProcessSafe).unwrap();
            fsck::assert_clean(&image);
        }
    }
}

fn apply(content: &mut [u8], writes: &[banger_tests::recorder::Write]) {
    for (offset, bytes) in writes {
        let at = usize::try_from(*offset).unwrap();
        content[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn a_batch_larger_than_the_journal_is_refused_before_anything_is_written() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("small.img");
    fsck::mke2fs(&image, 64 << 20, &["-b", "1024", "-J", "size=1", "-N", "40000"]);
    let before = std::fs::read(&image).unwrap();
    let fill = |batch: &mut Batch| {
        for n in 0..6000 {
            batch.write_file(&path(format!("/{n}")), FILE, b"x").unwrap();
        }
    };
    let mut batch = Batch::open(banger_tests::image::disk(&image)).unwrap();
    fill(&mut batch);
    let refused = batch.commit(Flush::PowerSafe).unwrap_err();
    assert!(matches!(refused, banger_ext4::Error::TooLarge { .. }), "{refused}");
    assert!(std::fs::read(&image).unwrap() == before);
    let mut batch = Batch::open(banger_tests::image::disk(&image)).unwrap();
    fill(&mut batch);
    assert!(!batch.commit_in_order(Flush::PowerSafe).unwrap().atomic);
    fsck::assert_clean(&image);
}
