//! Names: links go up and down as names come and go, and each new name is found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::{Touched, View, wrong};
use crate::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode};
use crate::{Result, le};

/// Where a first block of a directory names the directory and its parent.
const DOT: usize = 0;
const DOT_DOT: usize = 12;

/// Directory and name, to inode and type as the entry has it.
type Entries = BTreeMap<(u32, Vec<u8>), (u32, u8)>;

/// What became of an inode's names, and of the directories in a directory.
#[derive(Default)]
struct Counts {
    names: i64,
    came: i64,
    went: i64,
}

pub(super) fn balance(
    before: &View,
    after: &View,
    touched: &BTreeMap<u32, Touched>,
    changed: &BTreeSet<u64>,
) -> Result<()> {
    let (mut old, mut new) = (Entries::new(), Entries::new());
    for (ino, inode) in touched {
        let same = inode.same().is_some();
        if let Some(directory) = inode.before.as_ref().filter(|inode| is_directory(inode)) {
            gather(before, *ino, directory, same.then_some(changed), &mut old)?;
        }
        if let Some(directory) = inode.after.as_ref().filter(|inode| is_directory(inode)) {
            gather(after, *ino, directory, same.then_some(changed), &mut new)?;
        }
    }
    let mut counts: HashMap<u32, Counts> = HashMap::new();
    let mut came = BTreeSet::new();
    for ((parent, name), (ino, file_type)) in &new {
        let moved = old.get(&(*parent, name.clone())).map(|(ino, _)| *ino) == Some(*ino);
        let reborn = touched.get(ino).is_some_and(|t| t.before.is_some() && t.same().is_none());
        if moved && !reborn && !became_another(touched, *parent) {
            continue;
        }
        let directory = arrived(after, touched, (*parent, name), (*ino, *file_type))?;
        counts.entry(*ino).or_default().names += 1;
        counts.entry(*parent).or_default().came += i64::from(directory);
        came.insert(*ino);
    }
    for ((parent, name), (ino, _)) in &old {
        let stayed = new.get(&(*parent, name.clone())).map(|(ino, _)| *ino) == Some(*ino);
        let reborn = touched.get(ino).is_some_and(|t| t.before.is_some() && t.same().is_none());
        if stayed && !reborn && !became_another(touched, *parent) {
            continue;
        }
        let directory = is_directory(&before.fs.inode(*ino)?);
        counts.entry(*ino).or_default().names -= 1;
        counts.entry(*parent).or_default().went += i64::from(directory);
    }
    if let Some(ino) = counts.keys().find(|ino| !touched.contains_key(ino)) {
        return wrong(format!("names of inode {ino} came or went, and it is as it was"));
    }
    for (ino, inode) in touched {
        if !came.contains(ino)
            && let Some((old, new)) = inode.same().filter(|(old, _)| is_directory(old))
            && dots(before, *ino, old)? != dots(after, *ino, new)?
        {
            return wrong(format!("directory {ino}: its `.` or `..` leads elsewhere"));
        }
        links(*ino, inode, &counts.remove(ino).unwrap_or_default())?;
    }
    Ok(())
}

fn is_directory(inode: &Inode) -> bool {
    inode.kind() == Some(FileKind::Directory)
}

/// The number of a directory was given to another.
fn became_another(touched: &BTreeMap<u32, Touched>, ino: u32) -> bool {
    touched.get(&ino).is_some_and(|t| t.before.is_some() && t.after.is_some() && t.same().is_none())
}

/// The entries of a directory: of blocks that changed, where only those are asked for.
fn gather(
    view: &View,
    ino: u32,
    inode: &Inode,
    only: Option<&BTreeSet<u64>>,
    entries: &mut Entries,
) -> Result<()> {
    let mut twice = None;
    let mut visit = |entry: &crate::layout::directory::DirEntry<'_>| {
        let place = (ino, entry.name.to_vec());
        if entries.insert(place, (entry.inode, entry.file_type)).is_some() {
            twice = Some(entry.name.escape_ascii().to_string());
        }
        Ok(ControlFlow::Continue(()))
    };
    match only.filter(|_| !inode.has_flag(FLAG_INLINE_DATA)) {
        None => view.fs.each_entry(ino, inode, &mut visit)?,
        Some(changed) => {
            let tree = view.fs.block_map(ino, inode)?.tree_blocks(1 << 26)?;
            for extent in &tree.data {
                let end = extent.start + u64::from(extent.len);
                for block in changed.range(extent.start..end) {
                    let logical = u64::from(extent.block) + (block - extent.start);
                    view.fs.each_entry_of_block(ino, inode, logical, *block, &mut visit)?;
                }
            }
        }
    }
    match twice {
        Some(name) => wrong(format!("directory {ino} has the name {name} twice")),
        None => Ok(()),
    }
}

/// A new name leads where it says, and is found; whether to a directory.
fn arrived(
    after: &View,
    touched: &BTreeMap<u32, Touched>,
    (parent, name): (u32, &[u8]),
    (ino, file_type): (u32, u8),
) -> Result<bool> {
    let shown = || format!("{} in directory {parent}", name.escape_ascii());
    let Some(inode) = touched.get(&ino).and_then(|t| t.after.as_ref()) else {
        return wrong(format!("{} leads to inode {ino}, which is not in use", shown()));
    };
    let directory = touched.get(&parent).and_then(|t| t.after.as_ref());
    if let Some(directory) = directory.filter(|inode| inode.has_flag(FLAG_INDEX))
        && after.fs.lookup(parent, directory, name)? != Some(ino)
    {
        return wrong(format!("{} is not found by its hash", shown()));
    }
    if after.fs.has_types() && inode.kind().is_some_and(|kind| kind.dirent_type() != file_type) {
        return wrong(format!("{} names another type", shown()));
    }
    if is_directory(inode) && dots(after, ino, inode)? != (ino, parent) {
        return wrong(format!("{}: its `.` or `..` leads elsewhere", shown()));
    }
    Ok(is_directory(inode))
}

/// Where `.` and `..` of a directory lead. One that lies in its inode keeps the number of its
/// parent alone.
fn dots(view: &View, ino: u32, inode: &Inode) -> Result<(u32, u32)> {
    if inode.has_flag(FLAG_INLINE_DATA) {
        return Ok((ino, le::get_or_zero(&inode.i_block(), 0)));
    }
    let first = view.fs.block_map(ino, inode)?.run(0)?.physical.unwrap_or(0);
    let block = view.fs.block(first)?;
    let word = |at| le::get_or_zero::<u32>(&block, at);
    Ok((word(DOT), word(DOT_DOT)))
}

/// Counts of links against what came and went.
fn links(ino: u32, inode: &Touched, counts: &Counts) -> Result<()> {
    let names = |inode: &Option<Inode>| {
        inode.as_ref().map_or(0, |inode| match is_directory(inode) {
            true => i64::from(inode.i_links_count() > 0),
            false => i64::from(inode.i_links_count()),
        })
    };
    if names(&inode.after) - names(&inode.before) != counts.names {
        return wrong(format!("inode {ino} counts its names wrong"));
    }
    // With 1 a directory says that it has too many directories to count.
    let inside = |inode: &Inode| match i64::from(inode.i_links_count()) {
        links if is_directory(inode) && links > 1 => Some(links - 2),
        _ => None,
    };
    let right = match inode.same() {
        Some((before, after)) => match (inside(before), inside(after)) {
            (Some(before), Some(after)) => after - before == counts.came - counts.went,
            _ => true,
        },
        None => {
            let is = |inode: &Option<Inode>, count| {
                inode.as_ref().and_then(inside).is_none_or(|inside| inside == count)
            };
            is(&inode.before, counts.went) && is(&inode.after, counts.came)
        }
    };
    if right { Ok(()) } else { wrong(format!("directory {ino} counts its directories wrong")) }
}
