//! Following every name, and what each inode holds.

use std::ops::ControlFlow;

use super::Findings;
use super::tally::{Met, Tally};
use crate::layout::features::Incompat;
use crate::layout::geometry::MetadataMap;
use crate::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode, RESIZE_INO, ROOT_INO};
use crate::layout::{orphan, xattr};
use crate::{Filesystem, Result, le};

/// Pieces of one file that are followed.
const MOST_PIECES: u64 = 1 << 26;

/// Reserved inodes and the orphan file: in use without a name.
pub(super) fn reserved(
    fs: &Filesystem,
    metadata: &MetadataMap,
    tally: &mut Tally,
    findings: &mut Findings,
) -> Result<()> {
    let first = fs.geometry().first_ino;
    if fs.superblock().features().incompat.has(Incompat::MMP) {
        tally.mark(fs.geometry(), 0, fs.superblock().s_mmp_block(), 1, findings);
    }
    // These have numbers like any file's.
    let others = [fs.superblock().s_orphan_file_inum(), fs.superblock().s_prj_quota_inum()];
    let others = others.into_iter().filter(|ino| *ino >= first);
    for ino in (1..first).filter(|ino| *ino != ROOT_INO).chain(others) {
        tally.inodes.insert(ino, Met { nameless: true, ..Met::default() });
        // Reserved inodes that were never used may hold anything.
        let Ok(inode) = fs.inode(ino) else { continue };
        if inode.i_links_count() == 0 || inode.kind().is_none() {
            continue;
        }
        if ino != RESIZE_INO {
            blocks(fs, ino, &inode, tally, findings)?;
            continue;
        }
        // It owns blocks that have their place by number already.
        let tree = fs.block_map(ino, &inode).and_then(|mut map| map.tree_blocks(MOST_PIECES));
        if let Some(tree) = findings.note("the resize inode", tree)? {
            for node in tree.nodes.into_iter().filter(|node| !metadata.contains(*node)) {
                tally.mark(fs.geometry(), ino, node, 1, findings);
            }
        }
    }
    Ok(())
}

/// Inodes without names that wait to be freed: the list, and the file.
pub(super) fn orphans(fs: &Filesystem, tally: &mut Tally, findings: &mut Findings) -> Result<()> {
    let mut waiting = Vec::new();
    let mut next = fs.superblock().s_last_orphan();
    while next != 0 && waiting.len() < 1 << 20 {
        waiting.push(next);
        let inode = findings.note("the list of orphans", fs.inode(next))?;
        next = inode.map_or(0, |inode| inode.i_dtime());
    }
    let file = fs.superblock().s_orphan_file_inum();
    if file != 0
        && let Some(inode) = findings.note("the orphan file", fs.inode_in_use(file))?
        && let Some(mut map) = findings.note("the orphan file", fs.block_map(file, &inode))?
    {
        let seed = fs.inode_seed(file, &inode);
        for number in 0..inode.size() / u64::from(fs.geometry().block_size) {
            let run = findings.note("the orphan file", map.run(number))?;
            let Some(physical) = run.and_then(|run| run.physical) else { break };
            let listed = fs.block(physical).and_then(|b| orphan::parse(&b, physical, seed));
            waiting.extend(findings.note("the orphan file", listed)?.unwrap_or_default());
        }
    }
    for ino in waiting {
        // One that still has a name only waits to be cut short.
        let Some(inode) = findings.note("an orphan", fs.inode(ino))? else { continue };
        if inode.i_links_count() == 0 {
            let met = Met { nameless: true, ..Met::default() };
            if tally.inodes.insert(ino, met).is_none() {
                blocks(fs, ino, &inode, tally, findings)?;
            }
        }
    }
    Ok(())
}

/// Follows every name from the root.
pub(super) fn names(fs: &Filesystem, tally: &mut Tally, findings: &mut Findings) -> Result<()> {
    let root = Met { names: 1, is_directory: true, ..Met::default() };
    tally.inodes.insert(ROOT_INO, root);
    let mut waiting = vec![(ROOT_INO, ROOT_INO)];
    let inode = findings.note("the root directory", fs.inode_in_use(ROOT_INO))?;
    let Some(inode) = inode.filter(|inode| inode.kind() == Some(FileKind::Directory)) else {
        findings.tell(|| "the root is no directory".to_owned());
        return Ok(());
    };
    blocks(fs, ROOT_INO, &inode, tally, findings)?;
    findings.inodes = 1;
    while let Some((ino, parent)) = waiting.pop() {
        let what = format!("directory inode {ino}");
        let Some(inode) = findings.note(&what, fs.inode_in_use(ino))? else { continue };
        dots(fs, ino, parent, &inode, findings)?;
        let mut entries = Vec::new();
        let listed = fs.each_entry(ino, &inode, &mut |entry| {
            entries.push((entry.name.to_vec(), entry.inode, entry.file_type));
            Ok(ControlFlow::Continue(()))
        });
        findings.note(&what, listed)?;
        let mut subdirectories = 0;
        for (name, child, file_type) in entries {
            let kind = meet(fs, child, &name, file_type, tally, findings)?;
            if kind == Some(FileKind::Directory) {
                subdirectories += 1;
                if tally.inodes.get(&child).is_some_and(|met| met.names == 1) {
                    waiting.push((child, ino));
                } else {
                    findings.tell(|| format!("directory inode {child} has two names"));
                }
            }
            let indexed = inode.has_flag(FLAG_INDEX);
            if indexed
                && let Some(found) = findings.note(&what, fs.lookup(ino, &inode, &name))?
                && found != Some(child)
            {
                findings.tell(|| format!("{what}: its index misses {}", name.escape_ascii()));
            }
        }
        if let Some(met) = tally.inodes.get_mut(&ino) {
            met.subdirectories = subdirectories;
        }
    }
    Ok(())
}

/// A name leads to an inode; its type, when it has one.
fn meet(
    fs: &Filesystem,
    ino: u32,
    name: &[u8],
    file_type: u8,
    tally: &mut Tally,
    findings: &mut Findings,
) -> Result<Option<FileKind>> {
    let what = format!("{} (inode {ino})", name.escape_ascii());
    let Some(inode) = findings.note(&what, fs.inode_in_use(ino))? else { return Ok(None) };
    let kind = inode.kind();
    if fs.has_types() && kind.is_some_and(|kind| kind.dirent_type() != file_type) {
        findings.tell(|| format!("{what}: its entry names another type"));
    }
    let is_directory = kind == Some(FileKind::Directory);
    let met = tally.inodes.entry(ino).or_insert(Met { is_directory, ..Met::default() });
    met.names += 1;
    if met.nameless {
        findings.tell(|| format!("{what}: a reserved inode or an orphan has a name"));
    } else if met.names == 1 {
        findings.inodes += 1;
        blocks(fs, ino, &inode, tally, findings)?;
        findings.note(&what, fs.xattrs_of(ino, &inode))?;
    }
    Ok(kind)
}

/// `.` is the directory, `..` its parent, and both come first.
fn dots(
    fs: &Filesystem,
    ino: u32,
    parent: u32,
    inode: &Inode,
    findings: &mut Findings,
) -> Result<()> {
    let what = format!("directory inode {ino}");
    if inode.has_flag(FLAG_INLINE_DATA) {
        // There is no `.`, and of `..` the number alone.
        if le::get_or_zero::<u32>(&inode.i_block(), 0) != parent {
            findings.tell(|| format!("{what}: `..` is wrong"));
        }
        return Ok(());
    }
    let first = fs.block_map(ino, inode).and_then(|mut map| map.run(0));
    let Some(physical) = findings.note(&what, first)?.and_then(|run| run.physical) else {
        return Ok(());
    };
    let Some(block) = findings.note(&what, fs.block(physical))? else { return Ok(()) };
    let own: u32 = le::get_or_zero(&block, 0);
    let above: u32 = le::get_or_zero(&block, 12);
    let named = block.get(8..9) == Some(b".") && block.get(20..22) == Some(b"..");
    if !named || own != ino || above != parent {
        findings.tell(|| format!("{what}: `.` or `..` is wrong"));
    }
    Ok(())
}

/// Marks everything an inode has, and compares it with its own counts.
fn blocks(
    fs: &Filesystem,
    ino: u32,
    inode: &Inode,
    tally: &mut Tally,
    findings: &mut Findings,
) -> Result<()> {
    let geometry = fs.geometry();
    let what = format!("inode {ino}");
    let mut count = 0;
    let mapped = match inode.kind() {
        Some(FileKind::Regular | FileKind::Directory) => !inode.has_flag(FLAG_INLINE_DATA),
        Some(FileKind::Symlink) => !inode.is_fast_symlink() && !inode.has_flag(FLAG_INLINE_DATA),
        _ => false,
    };
    if mapped {
        let tree = fs.block_map(ino, inode).and_then(|mut map| map.tree_blocks(MOST_PIECES));
        let Some(tree) = findings.note(&what, tree)? else { return Ok(()) };
        let end = inode.size().div_ceil(geometry.block_size.into());
        for extent in &tree.data {
            count += u64::from(extent.len);
            tally.mark(geometry, ino, extent.start, extent.len.into(), findings);
            if extent.end() > end && !extent.unwritten && ino >= geometry.first_ino {
                findings.tell(|| format!("{what}: it has data behind its end"));
            }
        }
        for node in &tree.nodes {
            count += 1;
            tally.mark(geometry, ino, *node, 1, findings);
        }
    }
    let attributes = inode.file_acl();
    if attributes != 0 {
        count += 1;
        let block = fs.block(attributes);
        let parsed = block.and_then(|b| xattr::XattrBlock::parse(&b, attributes, fs.checksums()));
        let says = findings.note(&what, parsed)?.map_or(0, |block| block.refcount);
        let users = tally.shared.entry(attributes).or_insert((0, says));
        users.0 += 1;
        if users.0 == 1 {
            tally.mark(geometry, ino, attributes, 1, findings);
        }
    }
    let sectors = count * u64::from(geometry.block_size / 512);
    if geometry.cluster_ratio == 1 && inode.sectors(geometry.block_size) != sectors {
        let says = inode.sectors(geometry.block_size);
        findings.tell(|| format!("{what}: i_blocks is {says}, should be {sectors}"));
    }
    Ok(())
}

/// Links and shared blocks must be counted right.
pub(super) fn links(fs: &Filesystem, tally: &Tally, findings: &mut Findings) -> Result<()> {
    for (ino, met) in tally.inodes.iter().filter(|(_, met)| !met.nameless) {
        let Some(inode) = findings.note("an inode", fs.inode(*ino))? else { continue };
        let says = u32::from(inode.i_links_count());
        let found = if met.is_directory { met.subdirectories + 2 } else { met.names };
        // Directories with too many subdirectories to count say 1.
        let uncounted = met.is_directory && says == 1 && found > 65_000;
        if says != found && !uncounted {
            findings.tell(|| format!("inode {ino}: i_links_count is {says}, should be {found}"));
        }
    }
    for (block, (users, says)) in &tally.shared {
        if users != says {
            findings.tell(|| format!("attribute block {block}: {users} inodes, it says {says}"));
        }
    }
    Ok(())
}
