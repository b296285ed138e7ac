//! The journal (JBD2): where it lies, what its blocks look like, and its replay.
//!
//! The log is a ring of blocks. A transaction is any number of descriptor
//! blocks, each followed by the blocks it names, and of revoke blocks; a
//! commit block ends it. Replay reads the log three times: to find the last
//! complete transaction, to collect what must not be replayed, and to find
//! the newest content of every block. Only then it writes.

mod checksum;
mod location;
mod log;
mod replay;
pub mod superblock;
mod tags;

pub use location::JournalLocation;
pub(crate) use replay::replayed;
pub use replay::{Replayed, replay};
