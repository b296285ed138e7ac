//! What a check has met: blocks, inodes, names.

use std::collections::{BTreeMap, HashMap};

use super::Findings;
use crate::layout::bitmap;
use crate::layout::geometry::Geometry;

/// An inode that was met.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
    /// Names that lead to it.
    pub(super) names: u32,
    /// Directories in it.
    pub(super) subdirectories: u32,
    pub(super) is_directory: bool,
    /// It is in use without a name: an orphan, or a reserved inode.
    pub(super) nameless: bool,
}

/// Everything met so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Blocks in use by group; a group without any is missing.
    pub(super) blocks: BTreeMap<u32, Vec<u8>>,
    pub(super) inodes: HashMap<u32, Met>,
    /// Attribute blocks: inodes that use each, and what it says itself.
    pub(super) shared: HashMap<u64, (u32, u32)>,
}

impl Tally {
    /// Marks blocks; one that is marked already is a problem.
    pub(super) fn mark(
        &mut self,
        geometry: &Geometry,
        ino: u32,
        start: u64,
        len: u64,
        findings: &mut Findings,
    ) {
        for block in start..start.saturating_add(len) {
            let Some((group, index)) = geometry.group_of_block(block) else {
                findings.tell(|| format!("inode {ino}: block {block} does not exist"));
                return;
            };
            let map =
                self.blocks.entry(group).or_insert_with(|| vec![0; geometry.block_size as usize]);
            if bitmap::is_set(map, index) {
                findings.tell(|| format!("inode {ino}: block {block} has two owners"));
            }
            bitmap::set(map, index);
        }
    }
}
