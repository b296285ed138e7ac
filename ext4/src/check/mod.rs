//! A check of a whole filesystem that changes nothing: what is in use against what says so.
//!
//! Five passes, as e2fsck has them: the superblock and what has a place of its own; every inode
//! in use, the blocks it has and its attributes; every directory; how directories hang together
//! and how often each inode is named; bitmaps and counts.
//!
//! # Bounds
//! On any image, hostile ones too. *Memory*: one bit a block, less than 100 bytes an inode in
//! use, and the largest directory twice. *Reads*: the tables of inodes once, every other block
//! at most four times; no block of a tree or of attributes is followed for a second owner, and
//! once as many blocks had two owners as there are blocks, claims are no longer looked at
//! ([`FindingKind::Incomplete`]).

mod backups;
mod checker;
mod claims;
mod directories;
mod entries;
mod finding;
mod groups;
mod index;
mod inodes;
mod links;
mod map;
mod orphans;
mod reserved;
mod superblock;
mod xattrs;

use crate::layout::geometry::MetadataMap;
use crate::{Filesystem, Result};
use checker::Checker;
pub use finding::{Finding, FindingKind, FindingObject, Findings};

/// Checks a filesystem. Under bigalloc it is not looked into who has which blocks.
///
/// Orphans that a list or the orphan file names are no damage, nor is a journal that asks to
/// be replayed (open the filesystem with [`Filesystem::open`] to check what replaying makes).
///
/// # Errors
/// [`crate::Error::Io`] alone; everything else is among the findings.
pub fn check(fs: &Filesystem) -> Result<Findings> {
    let mut findings = Findings::default();
    let metadata = MetadataMap::new(fs.geometry(), fs.descriptors());
    let metadata = findings.note(
        FindingKind::MetadataPlace,
        &FindingObject::Superblock,
        "the metadata",
        metadata,
    )?;
    // Without it nothing on the filesystem can be told from anything else.
    let Some(metadata) = metadata else { return Ok(findings) };
    let mut checker = Checker::new(fs, &metadata, findings);
    checker.superblock()?;
    checker.backups()?;
    checker.reserved()?;
    checker.orphans()?;
    checker.inodes()?;
    checker.directories()?;
    checker.links();
    checker.groups()?;
    Ok(checker.findings)
}
