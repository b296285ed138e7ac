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
            self.entries(&block).try_for_each(|entry| self.note(&entry?, entries))?;
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

    fn entries<'b>(
        &self,
        (bytes, tail): &'b Block,
    ) -> impl Iterator<Item = Result<DirEntry<'b>>> + use<'b> {
        self.view.fs.entries_in((bytes, *tail))
    }

    /// As [`Self::entries`], with names that may be impossible.
    fn records<'b>(
        &self,
        (bytes, tail): &'b Block,
    ) -> impl Iterator<Item = Result<DirEntry<'b>>> + use<'b> {
        self.view.fs.records_in((bytes, *tail))
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
        let there = before.remove(&block).map(|logical| was.block(block, logical)).transpose()?;
        let mut earlier = there.iter().flat_map(|block| was.records(block));
        let mut left = earlier.next().transpose()?;
        for entry in is.entries(&bytes) {
            let entry = entry?;
            while let Some(gone) = left.filter(|left| left.offset < entry.offset) {
                was.note(&gone, old)?;
                left = earlier.next().transpose()?;
            }
            if let Some(here) = left.filter(|left| left.offset == entry.offset) {
                left = earlier.next().transpose()?;
                let same = (here.inode, here.file_type, here.name)
                    == (entry.inode, entry.file_type, entry.name);
                if same && gone.binary_search(&entry.inode).is_err() {
                    continue;
                }
                was.note(&here, old)?;
            }
            is.note(&entry, new)?;
            arrived.insert(entry.name.to_vec(), 0);
        }
        left.into_iter().map(Ok).chain(earlier).try_for_each(|left| was.note(&left?, old))?;
        blocks.push(bytes);
    }
    for (block, logical) in before {
        let block = was.block(block, logical)?;
        was.records(&block).try_for_each(|entry| was.note(&entry?, old))?;
    }
    not_there_already(is, &blocks, arrived)
}

/// Looks for names that came among those that stayed.
fn not_there_already(
    is: &Side<'_>,
    blocks: &[Block],
    mut arrived: HashMap<Vec<u8>, u32>,
) -> Result<()> {
    if arrived.is_empty() {
        return Ok(());
    }
    // Most names are told apart by a mark of theirs.
    let mut marks = [false; 4096];
    let mark = |name: &[u8]| {
        let start = name.len() as u64;
        let mix = |mark: u64, byte: &u8| (mark ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        (name.iter().fold(start, mix) >> 20) as usize % 4096
    };
    for name in arrived.keys() {
        if let Some(there) = marks.get_mut(mark(name)) {
            *there = true;
        }
    }
    for entry in blocks.iter().flat_map(|block| is.records(block)) {
        let name = entry?.name;
        if marks.get(mark(name)) == Some(&true)
            && let Some(count) = arrived.get_mut(name)
        {
            *count += 1;
            if *count > 1 {
                return is.twice(name);
            }
        }
    }
    Ok(())
}
