//! Batches that go wrong on purpose are refused, and nothing of them is written.

use std::sync::Arc;

use crate::layout::bitmap;
use crate::write::volume::Volume;
use crate::{
    Attributes, Batch, Disk, Error, Filesystem, Flush, FormatOptions, ImagePath, Inodes,
    MemoryDisk, Outcome, Timestamp,
};

const ROOT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

fn path(text: &str) -> ImagePath {
    ImagePath::new(text).unwrap()
}

fn bytes(disk: &Arc<dyn Disk>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.len()).unwrap()];
    disk.read_at(0, &mut bytes).unwrap();
    bytes
}

/// What a batch that does `harm` beside its proper work is refused with.
fn refused(harm: impl FnOnce(&mut Volume) -> crate::Result<()>) -> String {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(16 << 20));
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions::new([1; 16], [2; 16], now);
    let mut batch = Batch::create(Arc::clone(&disk), &options).unwrap();
    batch.make_directory(&path("/dir"), ROOT).unwrap();
    batch.make_directory(&path("/dir/below"), ROOT).unwrap();
    for n in 0..20 {
        batch.write_file(&path(&format!("/dir/{n}")), ROOT, &[n + 1; 3000]).unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    let before = bytes(&disk);
    let mut batch = Batch::open(Arc::clone(&disk)).unwrap();
    batch.write_file(&path("/dir/3"), ROOT, b"proper").unwrap();
    // Some of these take records of blocks in which none was ever used.
    for n in 0..30 {
        batch.write_file(&path(&format!("/dir/new-{n}")), ROOT, b"").unwrap();
    }
    harm(&mut batch.volume).unwrap();
    let error = batch.commit(Flush::PowerSafe).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(bytes(&disk) == before, "nothing was written");
    error.to_string()
}

fn ino(volume: &mut Volume, name: &str) -> u32 {
    volume.existing(&path(name)).unwrap().1
}

#[test]
fn blocks_without_an_owner_and_with_two() {
    let said = refused(|volume| volume.allocate_block(5000).map(|_| ()));
    assert!(said.contains("no inode gained"), "{said}");
    let said = refused(|volume| {
        let number = ino(volume, "/dir/5");
        let inode = volume.read_inode(number)?;
        let map = volume.load_map(number, &inode)?;
        volume.free_run(map.extents[0].start..map.extents[0].start + 1)
    });
    assert!(said.contains("no inode gained"), "{said}");
    let said = refused(|volume| {
        let (one, other) = (ino(volume, "/dir/5"), ino(volume, "/dir/6"));
        let (mut inode, other) = (volume.read_inode(one)?, volume.read_inode(other)?);
        inode.set_i_block(&other.i_block());
        volume.write_inode(one, &inode)
    });
    assert!(said.contains("no inode gained"), "{said}");
    let said = refused(|volume| {
        let number = ino(volume, "/dir/5");
        let mut inode = volume.read_inode(number)?;
        inode.set_sectors(99, volume.geometry.block_size);
        volume.write_inode(number, &inode)
    });
    assert!(said.contains("counts its blocks"), "{said}");
}

#[test]
fn blocks_of_others() {
    let said = refused(|volume| {
        let number = ino(volume, "/dir/5");
        let inode = volume.read_inode(number)?;
        let map = volume.load_map(number, &inode)?;
        volume.blocks.edit(map.extents[0].start).map(|bytes| bytes.fill(9))
    });
    assert!(said.contains("nothing that changed owns it"), "{said}");
}

#[test]
fn names_and_links_that_do_not_agree() {
    let said = refused(|volume| {
        let number = ino(volume, "/dir/5");
        let mut inode = volume.read_inode(number)?;
        inode.set_i_links_count(2);
        volume.write_inode(number, &inode)
    });
    assert!(said.contains("counts its names"), "{said}");
    let said = refused(|volume| {
        let parent = ino(volume, "/dir");
        volume.unlink(parent, b"5").map(|_| ())
    });
    assert!(said.contains("it is as it was"), "{said}");
    let said = refused(|volume| {
        let (parent, number) = (ino(volume, "/dir"), ino(volume, "/dir/5"));
        volume.drop_name(number)?;
        volume.touch(parent)
    });
    assert!(said.contains("not in use"), "{said}");
    let said = refused(|volume| {
        let parent = ino(volume, "/dir");
        volume.count_subdirectory(parent)
    });
    assert!(said.contains("counts its directories"), "{said}");
    let said = refused(|volume| {
        let below = ino(volume, "/dir/below");
        volume.set_parent(below, 2)?;
        volume.touch(below)
    });
    assert!(said.contains("leads elsewhere"), "{said}");
}

/// An inode that came into use in a block of the table in which none was ever used, and its
/// group and place.
fn in_a_new_block(volume: &mut Volume) -> (u32, u32, u32) {
    let number = ino(volume, "/dir/new-29");
    let (group, index) = volume.geometry.inode_place(number).unwrap();
    let per_block = volume.geometry.block_size / u32::from(volume.geometry.inode_size);
    let unused = volume.begin.0.descriptors()[group as usize].itable_unused();
    assert!(index / per_block * per_block >= volume.geometry.inodes_per_group - unused);
    (number, group, index)
}

#[test]
fn inodes_in_blocks_that_were_never_used() {
    let said = refused(|volume| {
        let (number, ..) = in_a_new_block(volume);
        let mut inode = volume.read_inode(number)?;
        inode.set_i_links_count(2);
        volume.write_inode(number, &inode)
    });
    assert!(said.contains("counts its names"), "{said}");
    // Past what is noted of an inode that is written.
    let said = refused(|volume| {
        let (number, ..) = in_a_new_block(volume);
        let mut inode = volume.read_inode(number)?;
        inode.set_i_mode(0o40_755);
        volume.write_inode(number, &inode)?;
        volume.written.clear();
        Ok(())
    });
    assert!(said.contains("is not right"), "{said}");
    let said = refused(|volume| {
        let (number, group, index) = in_a_new_block(volume);
        let group = volume.group(group)?;
        let free = group.descriptor.free_inodes_count();
        group.descriptor.set_free_inodes_count(free + 1);
        group.changed = true;
        let map = group.inodes.as_mut().unwrap();
        bitmap::clear(Arc::make_mut(&mut map.now), index);
        map.changed = true;
        volume.written.remove(&number);
        Ok(())
    });
    assert!(said.contains("not in use"), "{said}");
    // One that has no record: in the same block, and in one that is not written at all.
    for further in [1, 40] {
        let said = refused(|volume| {
            let (_, group, index) = in_a_new_block(volume);
            let all = volume.geometry.inodes_per_group;
            let group = volume.group(group)?;
            let free = group.descriptor.free_inodes_count();
            group.descriptor.set_free_inodes_count(free - 1);
            group.descriptor.set_itable_unused(all - index - further - 1);
            group.changed = true;
            let map = group.inodes.as_mut().unwrap();
            bitmap::set(Arc::make_mut(&mut map.now), index + further);
            map.changed = true;
            Ok(())
        });
        assert!(said.contains("inode"), "{said}");
    }
}

#[test]
fn counts_of_groups() {
    let said = refused(|volume| {
        let group = volume.group(0)?;
        let free = group.descriptor.free_blocks_count();
        group.descriptor.set_free_blocks_count(free - 1);
        group.changed = true;
        Ok(())
    });
    assert!(said.contains("free blocks"), "{said}");
    let said = refused(|volume| {
        let group = volume.group(0)?;
        let dirs = group.descriptor.used_dirs_count();
        group.descriptor.set_used_dirs_count(dirs + 1);
        group.changed = true;
        Ok(())
    });
    assert!(said.contains("directories"), "{said}");
    let said = refused(|volume| {
        let first = volume.geometry.inodes_per_group - 1;
        let group = volume.group(0)?;
        let free = group.descriptor.free_inodes_count();
        group.descriptor.set_free_inodes_count(free - 1);
        group.changed = true;
        if let Some(map) = &mut group.inodes {
            bitmap::set(Arc::make_mut(&mut map.now), first);
            map.changed = true;
        }
        Ok(())
    });
    assert!(said.contains("inode"), "{said}");
}

/// What removing a file ends in where the bitmap at `harm` is damaged.
fn removed(image: &[u8], file: &str, harm: Option<u64>) -> crate::Result<Vec<u8>> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(image.to_vec()));
    if let Some(offset) = harm {
        let mut byte = [0];
        disk.read_at(offset, &mut byte)?;
        disk.write_at(offset, &[byte[0] ^ 0x80])?;
    }
    let mut batch = Batch::open(Arc::clone(&disk))?;
    batch.remove(&path(file))?;
    batch.commit(Flush::PowerSafe)?;
    Ok(bytes(&disk))
}

/// The groups that have other free blocks in the second image, and those that have other free inodes.
fn changed(before: &[u8], after: &[u8]) -> (Vec<u32>, Vec<u32>) {
    let open = |bytes: &[u8]| Filesystem::open(Arc::new(MemoryDisk::from(bytes.to_vec()))).unwrap();
    let (before, after) = (open(before), open(after));
    let pairs = (0..).zip(before.descriptors().iter().zip(after.descriptors()));
    let (mut blocks, mut inodes) = (Vec::new(), Vec::new());
    for (group, (was, is)) in pairs {
        blocks.extend((was.free_blocks_count() != is.free_blocks_count()).then_some(group));
        inodes.extend((was.free_inodes_count() != is.free_inodes_count()).then_some(group));
    }
    (blocks, inodes)
}

#[test]
fn bitmaps_that_did_not_change_are_not_looked_at() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(24 << 20));
    let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
    let options = FormatOptions {
        block_size: Some(1024),
        inodes: Inodes::Count(96),
        ..FormatOptions::new([1; 16], [2; 16], now)
    };
    let mut batch = Batch::create(Arc::clone(&disk), &options).unwrap();
    batch.write_file(&path("/large"), ROOT, &vec![1; 12 << 20]).unwrap();
    for n in 0..60 {
        batch.write_file(&path(&format!("/{n}")), ROOT, b"").unwrap();
    }
    batch.commit(Flush::ProcessSafe).unwrap();
    let image = bytes(&disk);
    let fs = Filesystem::open(disk).unwrap();
    let offset = |group: u32, blocks: bool| {
        let descriptor = fs.descriptors()[group as usize];
        assert_eq!(descriptor.bg_flags() & 3, 0, "both bitmaps of group {group} are there");
        let bitmap = if blocks { descriptor.block_bitmap() } else { descriptor.inode_bitmap() };
        Some(fs.geometry().offset(bitmap))
    };
    for file in ["/large", "/45"] {
        let (blocks, inodes) = changed(&image, &removed(&image, file, None).unwrap());
        let (others, of_blocks): (Vec<u32>, bool) = match file {
            "/large" => (blocks.iter().copied().filter(|g| !inodes.contains(g)).collect(), true),
            _ => (inodes.iter().copied().filter(|g| !blocks.contains(g)).collect(), false),
        };
        assert!(!others.is_empty(), "{file}: {blocks:?} {inodes:?}");
        for group in others {
            removed(&image, file, offset(group, !of_blocks)).unwrap();
            let error = removed(&image, file, offset(group, of_blocks)).unwrap_err();
            assert!(error.to_string().contains("checksum"), "{error}");
        }
    }
}
