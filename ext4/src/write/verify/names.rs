//! Names: links go up and down as names come and go, and each new name is found.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Touched, View, entries, wrong};
use crate::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind, Inode};
use crate::number_map::NumberMap;
use crate::read::Index;
use crate::{Result, le};

/// Where a first block of a directory names the directory and its parent.
const DOT: usize = 0;
const DOT_DOT: usize = 12;

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
    let (old, new) = entries::differences(before, after, touched, changed)?;
    let mut indexes = NumberMap::default();
    let mut counts: NumberMap<u32, Counts> = NumberMap::default();
    let mut came = BTreeSet::new();
    for ((parent, name), (ino, file_type)) in &new {
        let moved = old.get(&(*parent, name.clone())).map(|(ino, _)| *ino) == Some(*ino);
        if moved && !reborn(touched, *ino) && !became_another(touched, *parent) {
            continue;
        }
        let directory = arrived(after, touched, (*parent, name), (*ino, *file_type), &mut indexes)?;
        counts.entry(*ino).or_default().names += 1;
        counts.entry(*parent).or_default().came += i64::from(directory);
        came.insert(*ino);
    }
    for ((parent, name), (ino, _)) in &old {
        let stayed = new.get(&(*parent, name.clone())).map(|(ino, _)| *ino) == Some(*ino);
        if stayed && !reborn(touched, *ino) && !became_another(touched, *parent) {
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

pub(super) fn is_directory(inode: &Inode) -> bool {
    inode.kind() == Some(FileKind::Directory)
}

/// What had this number is gone, whatever has it now.
pub(super) fn reborn(touched: &BTreeMap<u32, Touched>, ino: u32) -> bool {
    touched.get(&ino).is_some_and(|t| t.before.is_some() && t.same().is_none())
}

/// The number of a directory was given to another.
fn became_another(touched: &BTreeMap<u32, Touched>, ino: u32) -> bool {
    touched.get(&ino).is_some_and(|t| t.before.is_some() && t.after.is_some() && t.same().is_none())
}

/// A new name leads where it says, and is found; whether to a directory.
fn arrived<'a>(
    after: &'a View,
    touched: &BTreeMap<u32, Touched>,
    (parent, name): (u32, &[u8]),
    (ino, file_type): (u32, u8),
    indexes: &mut NumberMap<u32, Option<Index<'a>>>,
) -> Result<bool> {
    let shown = || format!("{} in directory {parent}", name.escape_ascii());
    let Some(inode) = touched.get(&ino).and_then(|t| t.after.as_ref()) else {
        return wrong(format!("{} leads to inode {ino}, which is not in use", shown()));
    };
    let directory = touched.get(&parent).and_then(|t| t.after.as_ref());
    if let Some(directory) = directory.filter(|inode| inode.has_flag(FLAG_INDEX)) {
        let index = match indexes.entry(parent) {
            Entry::Occupied(index) => index.into_mut(),
            Entry::Vacant(place) => place.insert(after.fs.index(parent, directory)?),
        };
        let found = match index {
            Some(index) => index.find(name)?,
            None => after.fs.lookup(parent, directory, name)?,
        };
        if found != Some(ino) {
            return wrong(format!("{} is not found by its hash", shown()));
        }
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
