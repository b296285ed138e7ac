//! The ways in which the engine refuses.

use std::io;

use crate::Outcome;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device failed.
    #[error("cannot {action} the device at byte {offset}")]
    Io {
        /// What was tried: `read`, `write`, `flush`, `resize`.
        action: &'static str,
        /// Byte offset on the device.
        offset: u64,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The filesystem uses a feature that this engine does not handle.
    #[error("the filesystem uses {feature}, which is not supported")]
    Incompatible {
        /// The feature's name as mke2fs spells it, or its bits.
        feature: String,
    },
    /// The filesystem contradicts itself.
    #[error("the filesystem is damaged: {what}")]
    Corrupt {
        /// Which structure, where, and how.
        what: String,
    },
    /// There is no such entry.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// The path as it was asked for, escaped for people.
        path: String,
    },
    /// The path cannot name anything in an ext4 filesystem.
    #[error("{path}: {reason}")]
    InvalidPath {
        /// The path as it was asked for, escaped for people.
        path: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The entry is of another type than the operation needs.
    #[error("{path}: {reason}")]
    WrongType {
        /// The path, escaped for people.
        path: String,
        /// What it is and what it should have been.
        reason: &'static str,
    },
    /// The caller's limit, or one of the filesystem, would be passed.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What was measured.
        what: String,
        /// The limit, in the unit of what was measured.
        limit: u64,
    },
    /// No block or inode is left.
    #[error("no space left in the filesystem: {what}")]
    NoSpace {
        /// What ran out, and how much was needed.
        what: String,
    },
    /// The source of an ingest could not be read or says something impossible.
    #[error("cannot take in {what}")]
    Source {
        /// Which entry, and what is wrong with it.
        what: String,
        /// What the reader said, when it was the reader.
        #[source]
        source: Option<io::Error>,
    },
    /// The device failed while a batch was being committed.
    #[error("the commit was cut short, and {outcome}")]
    Interrupted {
        /// What is there of the batch.
        outcome: Outcome,
        /// What the device said.
        #[source]
        source: Box<Error>,
    },
    /// An earlier operation failed half-way, so nothing of the batch is written.
    #[error("the batch is not written, since an earlier change failed: {why}")]
    Unfinished {
        /// What failed.
        why: String,
    },
}

impl Error {
    /// What is there of a batch whose commit ended with this error.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Interrupted { outcome, .. } => *outcome,
            _ => Outcome::NotApplied,
        }
    }
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
