//! What a batch will leave, read back from memory and held against what was there before.
//!
//! A check of the whole filesystem takes as long as the filesystem is large. This one
//! takes what changed, and the books must balance:
//!
//! - counts of superblock, descriptors and bitmaps agree;
//! - blocks came into use exactly where inodes gained them, and went where they lost them,
//!   and nothing else that belongs to somebody was written;
//! - inodes came into use and went with their records;
//! - links were counted up and down as names came and went, and each new name is found.
//!
//! Checksums are seen to by everything that is read on the way. It costs the descriptors'
//! blocks that changed, the bitmaps that changed, the inodes that changed and what
//! they map, and the changed blocks of directories: not the content of files.

mod blocks;
mod entries;
mod maps;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::inode_tables::InodeTables;
use super::part::{Beginning, Changes, Part};
use crate::layout::features::RoCompat;
use crate::layout::geometry::MetadataMap;
use crate::layout::group::GroupDescriptor;
use crate::layout::inode::Inode;
use crate::{Disk, Error, Filesystem, Result};
use maps::Bits;

/// One state, through the reader.
struct View {
    fs: Filesystem,
    metadata: Arc<MetadataMap>,
    tables: Arc<InodeTables>,
    bits: Bits,
}

impl View {
    fn new(part: &Part, first: &Beginning) -> Result<Self> {
        let disk = Arc::clone(&part.overlay) as Arc<dyn Disk>;
        let fs = first.filesystem.reopen(disk, |block| part.overlay.is_changed(block))?;
        let places = |d: &GroupDescriptor| (d.block_bitmap(), d.inode_bitmap(), d.inode_table());
        let (now, then) = (fs.descriptors().iter(), first.filesystem.descriptors().iter());
        let same =
            fs.geometry() == first.filesystem.geometry() && now.map(places).eq(then.map(places));
        let (metadata, tables) = match same {
            true => (Arc::clone(&first.metadata), Arc::clone(&first.tables)),
            false => {
                let metadata = MetadataMap::new(fs.geometry(), fs.descriptors())?;
                (Arc::new(metadata), Arc::new(InodeTables::new(&fs)))
            }
        };
        Ok(Self { fs, metadata, tables, bits: Bits::default() })
    }
}

/// An inode that changed: what it was and what it is, where it is in use.
struct Touched {
    before: Option<Inode>,
    after: Option<Inode>,
}

impl Touched {
    /// The same file or directory, and not one that took the number of another.
    fn same(&self) -> Option<(&Inode, &Inode)> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return None };
        let same = before.i_generation() == after.i_generation() && before.kind() == after.kind();
        same.then_some((before, after))
    }
}

fn wrong<T>(what: String) -> Result<T> {
    Err(Error::Corrupt { what })
}

impl Part {
    /// Holds this state against an earlier one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not right, [`Error::Io`].
    pub(super) fn verify(&self, from: &Self, changes: &Changes, first: &Beginning) -> Result<()> {
        verify(from, self, changes, first).map_err(|error| match error {
            Error::Corrupt { what } => {
                Error::Corrupt { what: format!("what the batch would leave is not right: {what}") }
            }
            error => error,
        })
    }
}

fn verify(from: &Part, to: &Part, changes: &Changes, first: &Beginning) -> Result<()> {
    let (before, after) = (View::new(from, first)?, View::new(to, first)?);
    let changed: BTreeSet<u64> =
        changes.direct.iter().chain(&changes.logged).map(|(block, _)| *block).collect();
    let delta = maps::compare(&before, &after, &changed)?;
    let touched = touched(&before, &after, (from, to), changes)?;
    let inodes = |gone: bool| {
        let which = move |touched: &Touched| match gone {
            true => touched.before.is_some() && touched.after.is_none(),
            false => touched.before.is_none() && touched.after.is_some(),
        };
        touched.iter().filter(move |(_, t)| which(t)).map(|(ino, _)| *ino)
    };
    if !inodes(false).eq(delta.inodes_gained.iter().copied())
        || !inodes(true).eq(delta.inodes_lost.iter().copied())
    {
        return wrong("inodes came into use or went, and their records say otherwise".to_owned());
    }
    blocks::balance(&before, &after, &touched, &delta, changes)?;
    names::balance(&before, &after, &touched, &changed)?;
    maps::directories(&before, &after, &touched)
}

/// The inodes whose records changed, and those that were written with what they were: a
/// directory in which one name took the place of another has the same times and counts.
fn touched(
    before: &View,
    after: &View,
    (from, to): (&Part, &Part),
    changes: &Changes,
) -> Result<BTreeMap<u32, Touched>> {
    let geometry = after.fs.geometry();
    let size = usize::from(geometry.inode_size);
    let mut numbers = to.written.clone();
    for (block, bytes) in changes.direct.iter().chain(&changes.logged) {
        let Some(inodes) = after.tables.inodes_in(*block) else { continue };
        let number = |index: u32| inodes.group * geometry.inodes_per_group + index + 1;
        if inodes.never_used(&before.fs) {
            // There is nothing to compare with: all that may have come into use is looked at.
            numbers.extend((inodes.first..inodes.end).map(number));
            continue;
        }
        let old = from.overlay.read_shared(geometry.offset(*block), bytes.len())?;
        let records = old.chunks_exact(size).zip(bytes.chunks_exact(size));
        for (index, (old, new)) in (inodes.first..inodes.end).zip(records) {
            if old != new {
                numbers.insert(number(index));
            }
        }
    }
    // The file of orphans is emptied in place.
    let present =
        |view: &View| view.fs.superblock().features().ro_compat.has(RoCompat::ORPHAN_PRESENT);
    if present(before) != present(after) {
        numbers.insert(after.fs.superblock().s_orphan_file_inum());
    }
    let mut touched = BTreeMap::new();
    for ino in numbers {
        let of = |view: &View| -> Result<Option<Inode>> {
            if ino > view.fs.geometry().inodes_count || !view.inode_in_use(ino)? {
                return Ok(None);
            }
            view.fs.inode(ino).map(Some)
        };
        let inode = Touched { before: of(before)?, after: of(after)? };
        if let Some(new) = inode.after.as_ref().filter(|_| ino >= geometry.first_ino)
            && (new.i_links_count() == 0 || new.kind().is_none())
        {
            return wrong(format!("inode {ino} is in use and has no names or no type"));
        }
        touched.insert(ino, inode);
    }
    Ok(touched)
}
