//! Every directory in use: its blocks, its index, its entries.

use std::collections::BTreeMap;

use super::checker::Checker;
use super::entries::{Names, Part};
use super::finding::{FindingKind as Kind, FindingObject as Object};
use super::index::Role;
use crate::layout::directory;
use crate::layout::features::Compat;
use crate::layout::hash::Hasher;
use crate::layout::inode::{FLAG_CASEFOLD, FLAG_ENCRYPT, FLAG_INDEX, FLAG_INLINE_DATA, Inode};
use crate::{Result, le};

/// Bytes of inline data in `i_block`, the parent's number first.
const INLINE: usize = 60;

impl Checker<'_> {
    pub(super) fn directories(&mut self) -> Result<()> {
        let all: Vec<u32> = self.directories.keys().copied().collect();
        for ino in all {
            if self.inodes.get(&ino).is_some_and(|met| met.unmapped) {
                continue;
            }
            // It was read before: only a wrong checksum, told already, stands in the way.
            let Ok(inode) = self.fs.inode_unsummed(ino) else { continue };
            if inode.has_flag(FLAG_INLINE_DATA) {
                self.inline_directory(ino, &inode);
            } else {
                self.directory(ino, &inode)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, ino: u32, inode: &Inode) -> Result<()> {
        let geometry = self.fs.geometry();
        let block_size = geometry.block_size as usize;
        let indexed = inode.has_flag(FLAG_INDEX)
            && self.fs.superblock().features().compat.has(Compat::DIR_INDEX);
        let opaque = inode.has_flag(FLAG_ENCRYPT);
        let (mut roles, mut hasher): (BTreeMap<u64, Role>, Option<Hasher>) = Default::default();
        if indexed {
            let index = self.index(ino, inode)?;
            roles = index.roles;
            hasher = index.hasher.filter(|_| !opaque && !inode.has_flag(FLAG_CASEFOLD));
        }
        let mut names = Names::new();
        let count = inode.size() / u64::from(geometry.block_size);
        let mut map = self.fs.block_map(ino, inode)?;
        let mut number = 0;
        while number < count {
            let object = Object::DirectoryBlock(ino, number);
            let run = map.run(number);
            let run = self.findings.note(Kind::MapNode, &object, "its place", run)?;
            let Some(run) = run else { return Ok(()) };
            let Some(physical) = run.physical else {
                self.findings.tell(Kind::DirectoryHole, object, "it", "missing", "");
                number = number.saturating_add(run.len);
                continue;
            };
            let block = self.fs.block(physical)?;
            let role = roles.get(&number).copied();
            if indexed && role.is_none() {
                self.findings.tell(Kind::IndexReach, object.clone(), "it", "not in the index", "");
            }
            // The index itself holds no names, but its root the first two entries.
            let node = matches!(role, Some(Role::Root | Role::Node));
            if !node {
                self.leaf_checksum(ino, inode, &object, &block);
            }
            let tail = !node && self.fs.checksums().metadata;
            let end = if tail { block_size - directory::TAIL_SIZE } else { block_size };
            let bytes = block.get(..end).unwrap_or_default();
            let hashes = match role {
                Some(Role::Leaf(from, to)) => Some((from, to)),
                _ => None,
            };
            let part = Part { number, first: number == 0, hashes, opaque };
            if !matches!(role, Some(Role::Node)) {
                self.block_entries(ino, bytes, block_size, &part, hasher.as_ref(), &mut names);
            }
            number += 1;
        }
        if count == 0 {
            self.findings.tell(Kind::Dots, Object::Inode(ino), "`.`", "missing", "");
        }
        Ok(())
    }

    fn leaf_checksum(&mut self, ino: u32, inode: &Inode, object: &Object, block: &[u8]) {
        let Some(seed) = self.fs.inode_seed(ino, inode) else { return };
        if directory::check_tail(block, seed).is_err() {
            let found = if directory::has_tail(block) { "wrong" } else { "missing" };
            let kind = Kind::DirectoryChecksum;
            self.findings.tell(kind, object.clone(), "its checksum", found, "");
        }
    }

    /// In the inode: the parent's number, then entries; more of them in an attribute.
    fn inline_directory(&mut self, ino: u32, inode: &Inode) {
        let object = Object::Inode(ino);
        if inode.has_flag(FLAG_INDEX) {
            let what = "the flag `index` of a directory that lies in its inode";
            self.findings.tell(Kind::IndexNode, object.clone(), what, "set", "clear");
        }
        let Ok(bytes) = self.fs.inline_data(ino, inode) else {
            let what = "the second part of its data";
            self.findings.tell(Kind::InlineData, object, what, "missing", "");
            return;
        };
        let size = inode.size();
        if size < INLINE as u64 || size != bytes.len() as u64 {
            let found = bytes.len();
            self.findings.tell(Kind::InlineData, object, "the data in it", found, size);
            return;
        }
        if let Some(place) = self.directories.get_mut(&ino) {
            place.above = le::get_or_zero(&bytes, 0);
        }
        let opaque = inode.has_flag(FLAG_ENCRYPT);
        let part = Part { number: 0, first: false, hashes: None, opaque };
        let mut names = Names::new();
        let (first, second) = bytes.split_at(INLINE);
        let block_size = self.fs.geometry().block_size as usize;
        for bytes in [first.get(4..).unwrap_or_default(), second] {
            self.block_entries(ino, bytes, block_size, &part, None, &mut names);
        }
    }
}
