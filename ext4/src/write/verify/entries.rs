//! The entries of directories that are not what they were.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use super::names::{is_directory, reborn};
use super::{Touched, View, wrong};
use crate::Result;
use crate::layout::directory::DirEntry;
use crate::layout::inode::{FLAG_INLINE_DATA, Inode};

/// Directory and name, to inode and type as the entry has it.
pub(super) type Entries = BTreeMap<(u32, Vec<u8>), (u32, u8)>;

/// What the directories that changed have lost and gained: of one that is the same as before,
/// in blocks that changed, and there without the entries that are what and where they were.
/// One that was moved is in both.
pub(super) fn differences(
    before: &View,
    after: &View,
    touched: &BTreeMap<u32, Touched>,
    changed: &BTreeSet<u64>,
) -> Result<(Entries, Entries)> {
    let (mut old, mut new) = (Entries::new(), Entries::new());
    let gone: Vec<u32> = touched.keys().copied().filter(|ino| reborn(touched, *ino)).collect();
    for (ino, inode) in touched {
        let inline = |inode: &Inode| inode.has_flag(FLAG_INLINE_DATA);
        match inode.same() {
            Some((was, is)) if is_directory(is) && !inline(was) && !inline(is) => {
                let (was, is) = (Side::new(before, *ino, was), Side::new(after, *ino, is));
                of_one(&was, &is, changed, &gone, (&mut old, &mut new))?;
            }
            same => {
                for (view, inode, list) in
                    [(before, &inode.before, &mut old), (after, &inode.after, &mut new)]
                {
                    if let Some(inode) = inode.as_ref().filter(|inode| is_directory(inode)) {
                        let side = Side::new(view, *ino, inode);
                        match same.is_some() && !inline(inode) {
                            true => side.gather_changed(changed, list)?,
                            false => side.gather(list)?,
                        }
                    }
                }
            }
        }
    }
    Ok((old, new))
}

/// A directory in one state.
struct Side<'a> {
    view: &'a View,
    ino: u32,
    inode: &'a Inode,
}

/// A block's bytes, and whether its last entry is the checksum's.
type Block = (Vec<u8>, bool);

impl<'a> Side<'a> {
    fn new(view: &'a View, ino: u32, inode: &'a Inode) -> Self {
        Self { view, ino, inode }
    }

    fn note(&self, entry: &DirEntry<'_>, entries: &mut Entries) -> Result<()> {
        let place = (self.ino, entry.name.to_vec());
        match entries.insert(place, (entry.inode, entry.file_type)) {
            None => Ok(()),
            Some(_) => self.twice(entry.name),
        }
    }

    fn twice(&self, name: &[u8]) -> Result<()> {
        wrong(format!("directory {} has the name {} twice", self.ino, name.escape_ascii()))
    }

    /// All entries.
    fn gather(&self, entries: &mut Entries) -> Result<()> {
        self.view.fs.each_entry(self.ino, self.inode, &mut |entry| {
            self.note(entry, entries).map(ControlFlow::Continue)
        })
    }

    /// The entries of blocks that changed.
    fn gather_changed(&self, changed: &BTreeSet<u64>, entries: &mut Entries) -> Result<()> {
        for (block, logical) in self.changed_blocks(changed)? {
            let block = self.block(block, logical)?;
            self.entries(&block)?.iter().try_for_each(|entry| self.note(entry, entries))?;
        }
        Ok(())
    }

    /// Its blocks that changed, in ascending order, with their numbers in the directory.
    fn changed_blocks(&self, changed: &BTreeSet<u64>) -> Result<BTreeMap<u64, u64>> {
        let tree = self.view.fs.block_map(self.ino, self.inode)?.tree_blocks(1 << 26)?;
        let mut found = BTreeMap::new();
        for extent in &tree.data {
            let end = extent.start + u64::from(extent.len);
            let logical = |block: u64| u64::from(extent.block) + (block - extent.start);
            found.extend(changed.range(extent.start..end).map(|block| (*block, logical(*block))));
        }
        Ok(found)
    }

    fn block(&self, block: u64, logical: u64) -> Result<Block> {
        self.view.fs.directory_block(self.ino, self.inode, logical, block)
    }

    fn entries<'b>(&self, (bytes, tail): &'b Block) -> Result<Vec<DirEntry<'b>>> {
        self.view.fs.entries_in((bytes, *tail))
    }
}

/// As [`differences`], of one directory. `gone` lists, in order, inodes that are gone: names
/// that lead to them are never what they were.
fn of_one(
    was: &Side<'_>,
    is: &Side<'_>,
    changed: &BTreeSet<u64>,
    gone: &[u32],
    (old, new): (&mut Entries, &mut Entries),
) -> Result<()> {
    let (mut before, after) = (was.changed_blocks(changed)?, is.changed_blocks(changed)?);
    let (mut blocks, mut arrived) = (Vec::with_capacity(after.len()), HashMap::new());
    for (block, logical) in after {
        let bytes = is.block(block, logical)?;
        let entries = is.entries(&bytes)?;
        let there = before.remove(&block).map(|logical| was.block(block, logical)).transpose()?;
        let earlier = match &there {
            Some(block) => was.entries(block)?,
            None => Vec::new(),
        };
        let mut earlier = earlier.iter().peekable();
        for entry in &entries {
            while let Some(left) = earlier.next_if(|left| left.offset < entry.offset) {
                was.note(left, old)?;
            }
            if let Some(left) = earlier.next_if(|left| left.offset == entry.offset) {
                let same = (left.inode, left.file_type, left.name)
                    == (entry.inode, entry.file_type, entry.name);
                if same && gone.binary_search(&entry.inode).is_err() {
                    continue;
                }
                was.note(left, old)?;
            }
            is.note(entry, new)?;
            arrived.insert(entry.name.to_vec(), 0);
        }
        earlier.try_for_each(|left| was.note(left, old))?;
        blocks.push(bytes);
    }
    for (block, logical) in before {
        let block = was.block(block, logical)?;
        was.entries(&block)?.iter().try_for_each(|entry| was.note(entry, old))?;
    }
    // A name that came may be there already, among those that stayed.
    if arrived.is_empty() {
        return Ok(());
    }
    let mut some = [false; 1024];
    let mark = |name: &[u8]| {
        let last = name.iter().rev().take(4).fold(0, |mark, byte| mark * 37 + usize::from(*byte));
        (name.len() * 5 + last) % 1024
    };
    for name in arrived.keys() {
        if let Some(mark) = some.get_mut(mark(name)) {
            *mark = true;
        }
    }
    for block in &blocks {
        for entry in is.entries(block)? {
            if some.get(mark(entry.name)) == Some(&true)
                && let Some(count) = arrived.get_mut(entry.name)
            {
                *count += 1;
                if *count > 1 {
                    return is.twice(entry.name);
                }
            }
        }
    }
    Ok(())
}
