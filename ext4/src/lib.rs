//! The ext4 engine: reads, formats and changes unmounted ext4 filesystems.
//!
//! No async, no unsafe; knows no VM, no daemon and no root. All it asks of the
//! world is a [`Disk`].

mod acl;
pub mod be;
mod check;
mod disk;
mod error;
mod format;
mod grow;
mod ingest;
pub mod journal;
pub mod layout;
pub mod le;
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
