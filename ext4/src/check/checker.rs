//! The state of a check: what was met so far.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::claims::{Claim, Claims};
use super::finding::{FindingKind as Kind, FindingObject as Object, Findings};
use crate::Filesystem;
use crate::layout::geometry::MetadataMap;
use crate::layout::inode::FileKind;

/// An inode in use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
    /// The type, where the mode names one.
    pub(super) kind: Option<FileKind>,
    /// `i_links_count`.
    pub(super) links: u16,
    /// Names that lead to it; for a directory those of directories in it, too.
    pub(super) names: u32,
    /// It is in use without a name: an orphan, a reserved inode, an attribute's value.
    pub(super) nameless: bool,
    /// By its flag it holds the value of an attribute.
    pub(super) value: bool,
    /// Its map is damaged or shares blocks: what is in it is not looked at.
    pub(super) unmapped: bool,
}

/// A directory in use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Where `..` leads; 0 when that is not known.
    pub(super) above: u32,
    /// The directory that has a name for it; 0 for none.
    pub(super) parent: u32,
}

/// A block of attributes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shared {
    /// Inodes that use it.
    pub(super) users: u32,
    /// `h_refcount`.
    pub(super) says: u32,
}

pub(super) struct Checker<'a> {
    pub(super) fs: &'a Filesystem,
    pub(super) findings: Findings,
    pub(super) claims: Claims<'a>,
    pub(super) inodes: BTreeMap<u32, Met>,
    pub(super) directories: BTreeMap<u32, Place>,
    pub(super) shared: BTreeMap<u64, Shared>,
    /// Inodes that hold values of attributes, and how often they are named.
    pub(super) values: HashMap<u32, u64>,
    /// Listed as orphans.
    pub(super) orphans: HashSet<u32>,
    /// Beyond the reserved ones, those that the superblock names.
    pub(super) special: HashSet<u32>,
    gave_up: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(fs: &'a Filesystem, metadata: &'a MetadataMap, findings: Findings) -> Self {
        Self {
            fs,
            findings,
            claims: Claims::new(fs.geometry(), metadata),
            inodes: BTreeMap::new(),
            directories: BTreeMap::new(),
            shared: BTreeMap::new(),
            values: HashMap::new(),
            orphans: HashSet::new(),
            special: HashSet::new(),
            gave_up: false,
        }
    }

    /// Claims blocks for an object; true when it alone has them.
    pub(super) fn claim(&mut self, object: &Object, what: &'static str, at: u64, len: u64) -> bool {
        match self.claims.claim(at, len) {
            Claim::Fresh => return true,
            Claim::Taken(block) => {
                let found = format_args!("block {block}, which has another owner");
                self.findings.tell(Kind::BlockClaimedTwice, object.clone(), what, found, "");
            }
            Claim::Outside(block) => {
                let found = format_args!("block {block}, which does not exist");
                self.findings.tell(Kind::BlockRange, object.clone(), what, found, "");
            }
            Claim::GaveUp => {
                if !std::mem::replace(&mut self.gave_up, true) {
                    let found = "no longer followed: too many blocks have two owners";
                    self.findings.tell(Kind::Incomplete, object.clone(), what, found, "");
                }
            }
        }
        false
    }

    /// Tells of an inode when two values differ.
    pub(super) fn same<T: PartialEq + std::fmt::Display>(
        &mut self,
        kind: Kind,
        object: Object,
        what: &'static str,
        found: T,
        expected: T,
    ) {
        if found != expected {
            self.findings.tell(kind, object, what, found, expected);
        }
    }
}
