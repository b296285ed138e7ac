//! The ext4 engine: reads, formats and changes unmounted ext4 filesystems.
//!
//! No async, no unsafe; knows no VM, no daemon and no root. All it asks of the
//! world is a [`Disk`].
//!
//! # Images that mean harm
//! Whatever a disk holds, and though it shows other bytes at every look, nothing here panics,
//! goes on for ever, or writes beyond the disk or to a block that is somebody else's. Memory
//! and reads are bounded by the disk's size and by what the caller asked for:
//!
//! - opening: the group descriptors, at most 64 MiB of them on the disk; with a dirty journal
//!   some 64 bytes for each block of its log, which stay there and are read when they are asked
//!   for, and 16 bytes for each block that it revokes;
//! - reading a path or a file: one piece at a time, up to the limit that is given; a link is
//!   followed at most 40 times, and a directory is no longer than the filesystem;
//! - [`Filesystem::walk`] and [`Filesystem::extract`]: as [`Limits`] says, directories together
//!   no longer than the filesystem;
//! - [`check`]: as its module says, at most one bit a block, 100 bytes an inode in use, and the
//!   largest directory twice;
//! - a [`Batch`]: what it changes, and the trees of blocks of what it touches.
//!
//! The suites hold each operation on images of 4 to 6 MiB to the image's size and 8 MiB of
//! memory, and to 8 reads a KiB and 8,000 more.
#![forbid(unsafe_code)]

mod acl;
pub mod be;
mod check;
mod disk;
mod error;
mod format;
mod grow;
mod ingest;
pub mod journal;
mod kept;
pub mod layout;
pub mod le;
mod number_map;
mod overlay;
mod read;
mod read_ahead;
mod time;
mod write;

pub use acl::{Acl, AclError, AclTag};
pub use check::{Finding, FindingKind, FindingObject, Findings, check};
pub use disk::{Disk, FileDisk, MemoryDisk};
pub use error::{Error, Result};
pub use format::{FormatOptions, FormatPlan, Inodes, Journal, format, plan};
pub use grow::{Grown, can_grow, grow};
pub use ingest::{
    Content, Entry, EntryKind, HostFile, HostTree, ImageTree, Sink, Source, Stream, TarStream,
    Times, Xattr, acl_from_disk, acl_to_disk, copy_subtree,
};
pub use layout::inode::FileKind;
pub use overlay::Overlay;
pub use read::{
    BlockMap, DirItem, Extracted, Filesystem, ImagePath, Limits, Parent, Run, Stat, Statfs,
    TreeBlocks, WalkEntry,
};
pub use read_ahead::ReadAhead;
pub use time::Timestamp;
pub use write::{Attributes, Batch, Committed, Flush, IngestStats, Node, Outcome, Ownership};
