//! Bitmaps and counts of every group against what was met.

use super::Findings;
use super::tally::Tally;
use crate::layout::bitmap;
use crate::layout::geometry::{MetadataMap, is_reserved_ino, synthesise_inode_bitmap};
use crate::layout::group::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT};
use crate::{Filesystem, Result};

pub(super) fn compare(
    fs: &Filesystem,
    metadata: &MetadataMap,
    tally: &Tally,
    findings: &mut Findings,
) -> Result<()> {
    let geometry = fs.geometry();
    let mut directories = vec![0u32; geometry.groups as usize];
    let mut used = vec![Vec::new(); geometry.groups as usize];
    for (ino, met) in &tally.inodes {
        let Ok((group, index)) = geometry.inode_place(*ino) else { continue };
        if let Some(list) = used.get_mut(group as usize) {
            list.push(index);
        }
        if let Some(count) = directories.get_mut(group as usize) {
            *count += u32::from(met.is_directory);
        }
    }
    let (mut free_blocks, mut free_inodes) = (0, 0);
    for (((group, descriptor), used), directories) in
        (0..).zip(fs.descriptors()).zip(&used).zip(&directories)
    {
        free_blocks += u64::from(descriptor.free_blocks_count());
        free_inodes += u64::from(descriptor.free_inodes_count());
        if geometry.cluster_ratio == 1 {
            blocks(fs, metadata, tally, group, descriptor, findings)?;
        }
        inodes(fs, group, descriptor, used, findings)?;
        let says = descriptor.used_dirs_count();
        if says != *directories {
            findings.tell(|| format!("group {group}: {directories} directories, it says {says}"));
        }
    }
    let sb = fs.superblock();
    if free_blocks * u64::from(geometry.cluster_ratio) != sb.free_blocks_count() {
        let says = sb.free_blocks_count();
        findings.tell(|| format!("superblock: {free_blocks} free blocks, it says {says}"));
    }
    if free_inodes != u64::from(sb.s_free_inodes_count()) {
        let says = sb.s_free_inodes_count();
        findings.tell(|| format!("superblock: {free_inodes} free inodes, it says {says}"));
    }
    Ok(())
}

fn blocks(
    fs: &Filesystem,
    metadata: &MetadataMap,
    tally: &Tally,
    group: u32,
    descriptor: &GroupDescriptor,
    findings: &mut Findings,
) -> Result<()> {
    let geometry = fs.geometry();
    let what = format!("group {group}: block bitmap");
    let mut expected = metadata.synthesise(geometry, group);
    if let Some(met) = tally.blocks.get(&group) {
        for (both, met) in expected.iter_mut().zip(met) {
            if *both & met != 0 {
                findings.tell(|| format!("group {group}: a file has blocks of metadata"));
            }
            *both |= met;
        }
    }
    let len = geometry.group_blocks(group);
    let free = bitmap::count_clear(&expected, len);
    findings.blocks += u64::from(len - free);
    if descriptor.has_flag(BLOCK_UNINIT) {
        if tally.blocks.contains_key(&group) {
            findings.tell(|| format!("{what}: not initialised, but blocks are in use"));
        }
    } else {
        let bits = geometry.clusters_per_group;
        let Some(map) = findings.note(&what, fs.block(descriptor.block_bitmap()))? else {
            return Ok(());
        };
        let sum = bitmap::check_block_bitmap(&map, bits, descriptor, fs.checksums());
        findings.note(&what, sum)?;
        differences(&what, &map, &expected, len, findings);
        if (len..bits).any(|index| !bitmap::is_set(&map, index)) {
            findings.tell(|| format!("{what}: the padding is not set"));
        }
    }
    let says = descriptor.free_blocks_count();
    if says != free {
        findings.tell(|| format!("group {group}: {free} free blocks, it says {says}"));
    }
    Ok(())
}

fn inodes(
    fs: &Filesystem,
    group: u32,
    descriptor: &GroupDescriptor,
    used: &[u32],
    findings: &mut Findings,
) -> Result<()> {
    let geometry = fs.geometry();
    let what = format!("group {group}: inode bitmap");
    let len = geometry.inodes_per_group;
    let mut expected = synthesise_inode_bitmap(geometry);
    for index in used {
        bitmap::set(&mut expected, *index);
    }
    for index in 0..geometry.first_ino.min(len) {
        if group == 0 && is_reserved_ino(geometry, index + 1) {
            bitmap::set(&mut expected, index);
        }
    }
    let free = bitmap::count_clear(&expected, len);
    if descriptor.has_flag(INODE_UNINIT) {
        if !used.is_empty() {
            findings.tell(|| format!("{what}: not initialised, but inodes are in use"));
        }
    } else {
        let Some(map) = findings.note(&what, fs.block(descriptor.inode_bitmap()))? else {
            return Ok(());
        };
        let sum = bitmap::check_inode_bitmap(&map, len, descriptor, fs.checksums());
        findings.note(&what, sum)?;
        differences(&what, &map, &expected, len, findings);
    }
    let says = descriptor.free_inodes_count();
    if says != free {
        findings.tell(|| format!("group {group}: {free} free inodes, it says {says}"));
    }
    // The kernel takes what lies behind this mark for never used.
    let first_unused = len.saturating_sub(descriptor.itable_unused());
    if used.iter().any(|index| *index >= first_unused) {
        findings.tell(|| format!("group {group}: bg_itable_unused covers an inode in use"));
    }
    Ok(())
}

/// Tells the first bit that differs, and how many do.
fn differences(what: &str, found: &[u8], expected: &[u8], len: u32, findings: &mut Findings) {
    let differs = |index: &u32| bitmap::is_set(found, *index) != bitmap::is_set(expected, *index);
    if let Some(first) = (0..len).find(differs) {
        let count = (first..len).filter(differs).count();
        let used = bitmap::is_set(expected, first);
        let is = if used { "in use but free there" } else { "free but in use there" };
        findings.tell(|| format!("{what}: {count} bits are wrong, the first at {first}: {is}"));
    }
}
