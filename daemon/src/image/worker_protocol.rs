//! What the import worker tells the daemon: one JSON document a line, on standard error.

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(super) enum Line {
    /// The walls around the worker, and what is missing of them.
    Confined {
        /// Walls that hold.
        walls: Vec<String>,
        /// Walls that this kernel does not give.
        missing: Vec<String>,
    },
    /// How much was taken in so far.
    Progress {
        /// Bytes of the tar stream.
        bytes: u64,
    },
    /// All was taken in.
    Done {
        /// Entries that were taken in.
        entries: u64,
        /// Bytes of the tar stream.
        bytes: u64,
    },
    /// It was not.
    Failed {
        /// The error and its causes, outermost first.
        chain: Vec<String>,
        /// What the error lies in.
        blame: Blame,
    },
}

/// What a tar that was not taken in failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Blame {
    /// The tar itself.
    Tar,
    /// The image's disk is too small for it.
    Image,
    /// The host's disk is full.
    HostFull,
    /// The host: its disk fails.
    Host,
}

/// Longest line that is read, in bytes: the worker may have been taken over by its input.
pub(super) const LONGEST: usize = 64 << 10;

impl Line {
    /// The line's text, with its end.
    pub(super) fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a line.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}
