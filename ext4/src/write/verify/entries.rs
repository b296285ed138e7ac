//! The entries of directories that are not what they were.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::names::{is_directory, reborn};
use super::{Touched, View, wrong};
use crate::Result;
use crate::layout::directory::{self, DirEntry, ENTRY_HEADER};
use crate::layout::inode::{FLAG_INLINE_DATA, Inode};

/// Bytes of two blocks that are compared at once.
const RUN: usize = 64;
/// Marks of names that are told apart.
const MARKS: usize = 4096;

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
type Block = (Arc<[u8]>, bool);

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
            self.entries(&block, 0).try_for_each(|entry| self.note(&entry?, entries))?;
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

    /// The entries of a block from a byte of it on.
    fn entries<'b>(
        &self,
        (bytes, tail): &'b Block,
        from: usize,
    ) -> impl Iterator<Item = Result<DirEntry<'b>>> + use<'b> {
        self.view.fs.entries_in((bytes, *tail), from)
    }

    /// As [`Self::entries`], with names that may be impossible.
    fn records<'b>(
        &self,
        (bytes, tail): &'b Block,
        from: usize,
    ) -> impl Iterator<Item = Result<DirEntry<'b>>> + use<'b> {
        self.view.fs.records_in((bytes, *tail), from)
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
        let part = match &there {
            Some(there) if gone.is_empty() => unlike(there, &bytes),
            _ => 0..usize::MAX,
        };
        let mut earlier = there.iter().flat_map(|block| was.records(block, part.start));
        let mut left = earlier.next().transpose()?;
        let mut same_from_here = false;
        for entry in is.entries(&bytes, part.start) {
            let entry = entry?;
            while let Some(gone) = left.filter(|left| left.offset < entry.offset) {
                was.note(&gone, old)?;
                left = earlier.next().transpose()?;
            }
            if let Some(here) = left.filter(|left| left.offset == entry.offset) {
                // Both begin one here, and all bytes that follow are the same.
                if here.offset >= part.end {
                    same_from_here = true;
                    break;
                }
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
        if !same_from_here {
            left.into_iter().map(Ok).chain(earlier).try_for_each(|left| was.note(&left?, old))?;
        }
        blocks.push(bytes);
    }
    for (block, logical) in before {
        let block = was.block(block, logical)?;
        was.records(&block, 0).try_for_each(|entry| was.note(&entry?, old))?;
    }
    possible_and_once(is, &blocks, arrived)
}

/// The part of a block in which entries may be others than they were: it begins where one does
/// in both, all before it are the same in both, and behind its end all bytes are.
fn unlike(was: &Block, is: &Block) -> Range<usize> {
    if was.1 != is.1 || was.0.len() != is.0.len() {
        return 0..usize::MAX;
    }
    let tail = if is.1 { directory::TAIL_SIZE } else { 0 };
    let end = is.0.len().saturating_sub(tail);
    let (was, now) = (was.0.get(..end).unwrap_or_default(), is.0.get(..end).unwrap_or_default());
    let alike = was.chunks(RUN).zip(now.chunks(RUN)).take_while(|(was, now)| was == now).count();
    let alike = (alike * RUN).min(end);
    let rest = was.iter().zip(now).skip(alike).take_while(|(was, now)| was == now);
    let alike = alike + rest.count();
    let behind = was.rchunks(RUN).zip(now.rchunks(RUN)).take_while(|(was, now)| was == now).count();
    let behind = (behind * RUN).min(end);
    let rest = was.iter().zip(now).rev().skip(behind).take_while(|(was, now)| was == now);
    let behind = behind + rest.count();
    let mut start = 0;
    // Headers and names alike say the same, and the same of where the next begins.
    for entry in directory::records(&is.0, is.1, true) {
        match entry {
            Ok(entry) if entry.offset + ENTRY_HEADER + entry.name.len() <= alike => {
                start = entry.offset + entry.rec_len;
            }
            _ => break,
        }
    }
    start..end - behind
}

/// Looks whether all names in the blocks that changed are possible, and for names that came among
/// those that stayed.
fn possible_and_once(
    is: &Side<'_>,
    blocks: &[Block],
    mut arrived: HashMap<Vec<u8>, u32>,
) -> Result<()> {
    // Most names are told apart by marks of theirs: one of their ends, one of all they have.
    let mut marks = ([false; MARKS], [false; MARKS]);
    for name in arrived.keys() {
        for (marks, mark) in [(&mut marks.0, mark_of_end(name)), (&mut marks.1, mark(name))] {
            if let Some(there) = marks.get_mut(mark) {
                *there = true;
            }
        }
    }
    for block in blocks {
        for entry in is.entries(block, 0) {
            let name = entry?.name;
            if marks.0.get(mark_of_end(name)) == Some(&true)
                && marks.1.get(mark(name)) == Some(&true)
                && let Some(count) = arrived.get_mut(name)
            {
                *count += 1;
                if *count > 1 {
                    return is.twice(name);
                }
            }
        }
    }
    Ok(())
}

fn mark_of_end(name: &[u8]) -> usize {
    let end = name.last_chunk().map_or(0, |end| u32::from_le_bytes(*end));
    ((end ^ name.len() as u32).wrapping_mul(0x9e37_79b1) >> 20) as usize % MARKS
}

fn mark(name: &[u8]) -> usize {
    let mix = |mark: u64, byte: &u8| (mark ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    (name.iter().fold(name.len() as u64, mix) >> 20) as usize % MARKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block of 128 bytes with entries of these names, each with some bytes to spare.
    fn block(entries: &[(u32, usize, usize)]) -> Block {
        let mut bytes = vec![0; 128];
        let end = bytes.len() - directory::TAIL_SIZE;
        let mut at = 0;
        for (n, (ino, len, spare)) in entries.iter().enumerate() {
            let needed = directory::entry_size(*len) + spare * 4;
            let last = n + 1 == entries.len() || at + needed + 2 * 24 > end;
            let rec_len = if last { end - at } else { needed };
            let name = vec![b'a' + (*ino % 3) as u8; *len];
            assert!(directory::put_entry(&mut bytes, at, rec_len, *ino, 1, &name));
            at += rec_len;
            if last {
                break;
            }
        }
        (bytes.into(), true)
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_the_same_in_both(
            was in prop::collection::vec((0u32..4, 1usize..12, 0usize..3), 1..6),
            is in prop::collection::vec((0u32..4, 1usize..12, 0usize..3), 1..6),
            same in 0usize..6,
        ) {
            let mut is = is;
            for (is, was) in is.iter_mut().zip(&was).take(same) {
                *is = *was;
            }
            let (was, is) = (block(&was), block(&is));
            let part = unlike(&was, &is);
            prop_assert!(was != is || part.start >= part.end, "nothing is not the same");
            let all = |block: &Block| -> Vec<(usize, u32, Vec<u8>)> {
                let entries = directory::records(&block.0, block.1, true).map(Result::unwrap);
                entries.map(|e| (e.offset, e.inode, e.name.to_vec())).collect()
            };
            let (was, is) = (all(&was), all(&is));
            let before = |all: &[(usize, u32, Vec<u8>)]| -> Vec<_> {
                all.iter().filter(|entry| entry.0 < part.start).cloned().collect()
            };
            prop_assert_eq!(before(&was), before(&is));
            let both = was.iter().filter(|one| is.iter().any(|other| one.0 == other.0));
            if let Some(meet) = both.map(|entry| entry.0).find(|offset| *offset >= part.end) {
                let behind = |all: &[(usize, u32, Vec<u8>)]| -> Vec<_> {
                    all.iter().filter(|entry| entry.0 >= meet).cloned().collect()
                };
                prop_assert_eq!(behind(&was), behind(&is));
            }
        }
    }
}
