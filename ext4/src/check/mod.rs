//! A check of a whole filesystem that changes nothing: what is reachable against what is counted.
//!
//! Every name is followed from the root and every inode met marks its blocks.
//! Then the bitmaps, counts and links on disk must say the same. Checksums are
//! seen to by everything that is read on the way.

mod groups;
mod inodes;
mod tally;

use crate::layout::geometry::MetadataMap;
use crate::{Filesystem, Result};
use tally::Tally;

/// Problems that are told one by one.
const MOST_TOLD: usize = 100;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What contradicts what, for people; the first hundred.
    pub problems: Vec<String>,
    /// All of them.
    pub count: u64,
    /// Inodes that names lead to.
    pub inodes: u64,
    /// Blocks in use, metadata included.
    pub blocks: u64,
}

impl Findings {
    /// True when nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count == 0
    }

    fn tell(&mut self, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.problems.len() < MOST_TOLD {
            self.problems.push(problem());
        }
    }

    /// The value, or the error among the problems. A device that fails ends
    /// the check instead.
    fn note<T>(&mut self, what: &str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ crate::Error::Io { .. }) => Err(error),
            Err(error) => {
                self.tell(|| format!("{what}: {error}"));
                Ok(None)
            }
        }
    }
}

/// Checks a filesystem. Bigalloc is not looked into: its blocks are left out.
///
/// # Errors
/// [`crate::Error::Io`] alone; everything else is among the findings.
pub fn check(fs: &Filesystem) -> Result<Findings> {
    let mut findings = Findings::default();
    let metadata = MetadataMap::new(fs.geometry(), fs.descriptors());
    let Some(metadata) = findings.note("metadata", metadata)? else { return Ok(findings) };
    let mut tally = Tally::default();
    inodes::reserved(fs, &metadata, &mut tally, &mut findings)?;
    inodes::orphans(fs, &mut tally, &mut findings)?;
    inodes::names(fs, &mut tally, &mut findings)?;
    inodes::links(fs, &tally, &mut findings)?;
    groups::compare(fs, &metadata, &tally, &mut findings)?;
    Ok(findings)
}
