//! The changing half: everything happens in memory first, then is committed.

mod alloc;
mod attributes;
mod batch;
mod blocks;
mod commit;
mod content;
mod create;
mod directory;
mod edit;
mod entry_block;
mod file_map;
mod in_order;
mod incoming;
mod indirect;
mod inline;
mod inode_tables;
mod inodes;
mod lookup;
mod orphans;
mod part;
mod remove;
mod rename;
mod run_search;
mod sink;
mod split;
mod transaction;
mod verify;
mod volume;
mod xattrs;

pub use batch::{Attributes, Batch};
pub use commit::{Committed, Flush, Outcome};
pub use edit::Node;
pub use sink::{IngestStats, Ownership};
pub(crate) use volume::{BlockMap, Group, Volume};
