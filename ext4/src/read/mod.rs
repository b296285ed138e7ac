//! Reading: paths, directories, files and attributes of a filesystem on any disk.

mod data;
mod directory;
mod extract;
mod filesystem;
mod index;
mod indirect;
mod mapping;
mod path;
mod resolve;
mod stat;
mod statfs;
mod walk;
mod xattrs;

pub(crate) use data::Reader;
pub use directory::DirItem;
pub use extract::Extracted;
pub use filesystem::Filesystem;
pub(crate) use filesystem::read_superblock;
pub(crate) use index::Index;
pub use mapping::{BlockMap, Run, TreeBlocks};
pub use path::ImagePath;
pub use resolve::Parent;
pub use stat::Stat;
pub use statfs::Statfs;
pub use walk::{Limits, WalkEntry};
pub(crate) use xattrs::as_shown;
