//! Taking trees in: what an entry is, and the places entries come from.

mod acl;
mod content;
mod host;
mod image;
mod paged;
mod pax;
mod source;
mod sparse;
mod tar;
mod tar_member;

pub use acl::{acl_from_disk, acl_to_disk};
pub use content::{Content, Stream};
pub use host::{HostFile, HostTree};
pub use image::{ImageTree, copy_subtree};
pub(crate) use source::shown;
pub use source::{Entry, EntryKind, Sink, Source, Times, Xattr};
pub use tar::TarStream;
