//! Damaged and hostile images: changing them ends in an error or in success, never in
//! a panic, and never takes for ever.

use std::sync::Arc;

use banger_ext4::journal::JournalLocation;
use banger_ext4::{
    Attributes, Batch, Disk, Flush, ImagePath, MemoryDisk, Ownership, Result, Xattr, copy_subtree,
};
use banger_tests::image::path;
use banger_tests::recorder::Random;
use banger_tests::{engine, fsck, kernel, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };

fn change(disk: &Arc<dyn Disk>) -> Result<()> {
    let mut batch = Batch::open(Arc::clone(disk))?;
    // Whatever one operation meets, the next is tried.
    let content = vec![7; 40_000];
    let xattr = Xattr { name: b"user.x".to_vec(), value: vec![b'x'; 300] };
    let results = [
        batch.write_file(&path("/etc/hostname"), FILE, b"x"),
        batch.write_file(&path("/big"), FILE, &content),
        batch.make_directory(&path("/etc/new"), FILE),
        batch.set_xattrs(&path("/etc/f1"), std::slice::from_ref(&xattr)),
        batch.write_file(&path("/many/inserted-name"), FILE, &content),
        batch.symlink(&path("/long"), &[b't'; 100], 0, 0),
        batch.remove(&path("/etc/f2")),
        batch.write_file(&path("/etc/few/a-name-that-does-not-fit-an-inode"), FILE, b"x"),
        batch.rename(&path("/etc/few"), &path("/few")),
        batch.remove(&path("/few/a")),
        batch.set_attributes(&path("/big"), FILE),
        batch.remove_recursive(&path("/many")),
        batch.fix_root(),
    ];
    let filesystem = batch.filesystem()?;
    batch.ingest(
        &ImagePath::root(),
        &mut copy_subtree(&filesystem, &path("/etc")),
        Ownership::Root,
    )?;
    if results.iter().all(Result::is_ok) {
        batch.commit(Flush::ProcessSafe)?;
    }
    Ok(())
}

#[test]
fn mutated_images_are_refused_or_changed() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("mutants.img");
    let rounds = std::env::var("BANGER_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for arguments in [
        // Without checksums the damage gets everywhere.
        &["-b", "1024", "-O", "^metadata_csum,^64bit", "-J", "size=1"][..],
        &["-b", "1024", "-J", "size=1"],
        &["-b", "1024", "-O", "none,has_journal,filetype,dir_index,ext_attr", "-J", "size=1"],
        &["-b", "1024", "-O", "^metadata_csum,^64bit,inline_data", "-J", "size=1"],
    ] {
        fsck::mke2fs(&image, 4 << 20, arguments);
        kernel::mounted(&image, "rw", |top| {
            let script = r#"cd "$1"; mkdir etc many etc/sub etc/few; touch etc/few/a etc/few/b
                for n in $(seq 10); do echo $n > etc/f$n; done
                head -c 400000 /dev/urandom > big; ln -s "$(printf 'x%.0s' $(seq 90))" long
                setfattr -n user.long -v "$(printf 'v%.0s' $(seq 500))" etc/f1
                cd many; seq -f 'name-of-a-file-%g' 400 | xargs touch"#;
            root::script(script, &[top.as_os_str()]).unwrap();
        });
        let good = std::fs::read(&image).unwrap();
        change(&(Arc::new(MemoryDisk::from(good.clone())) as Arc<dyn Disk>)).unwrap();
        // Blocks that hold metadata: not all zero, not random content, not old log.
        let filesystem = engine::open(&image);
        let journal = JournalLocation::find(&filesystem).unwrap().unwrap();
        let blocks = (1..good.len() / 1024)
            .filter(|n| {
                let block = &good[n * 1024..][..1024];
                let zeros = block.iter().filter(|byte| **byte == 0).count();
                zeros > 20 && zeros < 1024 && !journal.owns(*n as u64)
            })
            .collect::<Vec<_>>();
        // Bytes that say something; a few of those that do not yet.
        let used: Vec<usize> = blocks
            .iter()
            .flat_map(|block| block * 1024..block * 1024 + 1024)
            .filter(|at| good[*at] != 0 || at % 50 == 0)
            .collect();
        let mut random = Random::new(3);
        let mut accepted = 0;
        for _ in 0..rounds {
            let mut content = good.clone();
            for _ in 0..=random.below(12) {
                // Superblock and descriptors are met more often.
                let at = match random.below(4) {
                    0 => 1024 + random.below(1100) as usize,
                    _ => used[random.below(used.len() as u64) as usize],
                };
                content[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => content[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
            }
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(content));
            accepted += u32::from(change(&disk).is_ok());
        }
        println!("{arguments:?}: {accepted} of {rounds} accepted");
        assert!(accepted < rounds, "damage is met");
    }
}
