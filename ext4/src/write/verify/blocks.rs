//! Blocks: each that came into use has one owner among the inodes that changed.

use std::collections::BTreeMap;
use std::ops::Range;

use super::maps::Delta;
use super::{Touched, View, wrong};
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind, Inode, RESIZE_INO};
use crate::layout::superblock::SUPERBLOCK_OFFSET;
use crate::layout::xattr::XattrBlock;
use crate::number_map::NumberMap;
use crate::write::part::Changes;
use crate::{Error, Result};

/// Pieces of one file that are followed.
const MOST_PIECES: u64 = 1 << 26;

type Runs = Vec<Range<u64>>;

pub(super) fn balance(
    before: &View,
    after: &View,
    touched: &BTreeMap<u32, Touched>,
    delta: &Delta,
    changes: &Changes,
) -> Result<()> {
    let (mut old, mut new) = (Runs::new(), Runs::new());
    let mut shared: NumberMap<u64, (u32, u32)> = NumberMap::default();
    for (ino, inode) in touched {
        if let Some(inode) = &inode.before {
            old.extend(owned(before, *ino, inode, false)?);
            if inode.file_acl() != 0 {
                shared.entry(inode.file_acl()).or_default().0 += 1;
            }
        }
        if let Some(inode) = &inode.after {
            new.extend(owned(after, *ino, inode, true)?);
            if inode.file_acl() != 0 {
                shared.entry(inode.file_acl()).or_default().1 += 1;
            }
        }
    }
    for (block, (users_before, users_after)) in shared {
        let (came, stayed) = attributes(before, after, block, (users_before, users_after))?;
        let own = block..block + 1;
        if users_before > 0 {
            old.push(own.clone());
        }
        if users_after > 0 || stayed || came {
            new.push(own);
        }
    }
    let (old, new) = (sorted(old, "had")?, sorted(new, "has")?);
    for run in &new {
        if after.metadata.within(run.clone()).next().is_some() {
            return wrong(format!("blocks {run:?} are metadata and a file's"));
        }
    }
    let came = sorted(delta.gained.clone(), "has")?;
    let went = sorted(delta.lost.clone(), "had")?;
    if difference(&new, &old) != came || difference(&old, &new) != went {
        return wrong("blocks came into use or went, and no inode gained or lost them".to_owned());
    }
    let first = SUPERBLOCK_OFFSET / u64::from(after.fs.geometry().block_size);
    for (block, _) in &changes.logged {
        let at = old.partition_point(|run| run.start <= *block);
        let owned = at.checked_sub(1).and_then(|n| old.get(n)).is_some_and(|r| r.contains(block));
        let known =
            *block <= first || before.metadata.contains(*block) || after.metadata.contains(*block);
        if !owned && !known {
            return wrong(format!("block {block} changed, and nothing that changed owns it"));
        }
    }
    Ok(())
}

/// What an inode has on the device but its block of attributes.
fn owned(view: &View, ino: u32, inode: &Inode, counted: bool) -> Result<Runs> {
    let inline = inode.has_flag(FLAG_INLINE_DATA);
    let mapped = match inode.kind() {
        Some(FileKind::Regular | FileKind::Directory) => !inline,
        Some(FileKind::Symlink) => !inline && !inode.is_fast_symlink(),
        _ => false,
    };
    if !mapped {
        return Ok(Runs::new());
    }
    let tree = view.fs.block_map(ino, inode)?.tree_blocks(MOST_PIECES)?;
    if ino == RESIZE_INO {
        // But for its own block of pointers all it has is metadata by its place.
        let own = tree.nodes.into_iter().filter(|node| !view.metadata.contains(*node));
        return Ok(own.map(|node| node..node + 1).collect());
    }
    let mut runs: Runs = tree.data.iter().map(|e| e.start..e.start + u64::from(e.len)).collect();
    runs.extend(tree.nodes.iter().map(|node| *node..node + 1));
    let block_size = view.fs.geometry().block_size;
    let count = runs.iter().map(|run| run.end - run.start).sum::<u64>();
    let blocks = count + u64::from(inode.file_acl() != 0);
    if counted && inode.sectors(block_size) != blocks * u64::from(block_size / 512) {
        return wrong(format!("inode {ino} counts its blocks wrong"));
    }
    Ok(runs)
}

/// Whether a block of attributes came into use, or stays so for others; its count of
/// users goes with those that changed.
fn attributes(
    before: &View,
    after: &View,
    block: u64,
    (users_before, users_after): (u32, u32),
) -> Result<(bool, bool)> {
    let count = |view: &View| -> Result<u32> {
        let bytes = view.fs.block(block)?;
        Ok(XattrBlock::parse(&bytes, block, view.fs.checksums())?.refcount)
    };
    let unlike =
        || Error::Corrupt { what: format!("attribute block {block} counts its users wrong") };
    if users_before == 0 {
        // A new one, or one more user of another's: the engine shares none.
        return if count(after)? == users_after { Ok((true, false)) } else { Err(unlike()) };
    }
    let left = count(before)?.checked_sub(users_before).ok_or_else(unlike)?;
    if left + users_after == 0 {
        return Ok((false, false));
    }
    if count(after)? == left + users_after { Ok((false, true)) } else { Err(unlike()) }
}

/// In ascending order, joined where they follow each other; none twice.
fn sorted(mut runs: Runs, who: &str) -> Result<Runs> {
    runs.sort_unstable_by_key(|run| run.start);
    let mut joined: Runs = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start < last.end => {
                return wrong(format!("block {} {who} two owners", run.start));
            }
            Some(last) if run.start == last.end => last.end = run.end,
            _ => joined.push(run),
        }
    }
    Ok(joined)
}

/// What is in the first list and not in the second.
fn difference(of: &[Range<u64>], without: &[Range<u64>]) -> Runs {
    let mut left = Runs::new();
    let mut others = without.iter().peekable();
    for run in of {
        let mut at = run.start;
        while let Some(other) = others.peek().filter(|other| other.start < run.end) {
            if other.start > at {
                left.push(at..other.start);
            }
            at = at.max(other.end);
            if other.end > run.end {
                break;
            }
            others.next();
        }
        if at < run.end {
            left.push(at..run.end);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(blocks: &std::collections::BTreeSet<u64>) -> Runs {
        sorted(blocks.iter().map(|block| *block..*block + 1).collect(), "has").unwrap()
    }

    proptest! {
        #[test]
        fn a_difference_is_that_of_sets(
            of in prop::collection::btree_set(0u64..60, 0..40),
            without in prop::collection::btree_set(0u64..60, 0..40),
        ) {
            let expected = of.difference(&without).copied().collect();
            prop_assert_eq!(difference(&runs(&of), &runs(&without)), runs(&expected));
        }
    }
}
