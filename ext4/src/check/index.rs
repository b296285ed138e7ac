//! The hash tree of a directory: its nodes, their order, and which hashes belong in which leaf.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checker::Checker;
use super::finding::{FindingKind as Kind, FindingObject as Object};
use crate::layout::features::Incompat;
use crate::layout::hash::Hasher;
use crate::layout::htree::{DxEntry, DxNode, DxRoot};
use crate::layout::inode::Inode;
use crate::{Error, Result};

/// Block numbers of an index have 28 bits.
const BLOCK_MASK: u32 = 0x0fff_ffff;
/// The highest `hash_version` that is ever stored: the sign of characters is the superblock's.
const LAST_VERSION: u8 = 2;

/// `unused_flags`: the hash is not what the version says.
const FLAG_INCOMPAT: u8 = 1;

/// What a block of an indexed directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Root,
    Node,
    /// The hashes that belong there, from and to, both included.
    Leaf(u32, u32),
}

/// What an index says of the blocks of its directory.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) roles: BTreeMap<u64, Role>,
    pub(super) hasher: Option<Hasher>,
}

/// A node that waits: its block, the levels below it, and its hashes.
type Waiting = (u64, u8, u32, u32);

impl Checker<'_> {
    pub(super) fn index(&mut self, ino: u32, inode: &Inode) -> Result<Index> {
        let mut index = Index::default();
        let object = Object::Inode(ino);
        let count = inode.size() / u64::from(self.fs.geometry().block_size);
        let mut map = self.fs.block_map(ino, inode)?;
        let mut read = |number: u64| -> Result<Option<Arc<[u8]>>> {
            if number >= count {
                return Ok(None);
            }
            match map.run(number) {
                Ok(run) => run.physical.map(|physical| self.fs.block(physical)).transpose(),
                Err(error @ Error::Io { .. }) => Err(error),
                Err(_) => Ok(None),
            }
        };
        let seed = self.fs.inode_seed(ino, inode);
        let Some(block) = read(0)? else { return Ok(index) };
        let root = DxRoot::parse(&block, seed);
        let root = self.findings.note(Kind::IndexNode, &object, "the root of its index", root)?;
        let Some(root) = root else { return Ok(index) };
        index.roles.insert(0, Role::Root);
        let deep = self.fs.superblock().features().incompat.has(Incompat::LARGEDIR);
        let most = if deep { 2 } else { 1 };
        for (what, found, most) in [
            ("the version of its hash", root.hash_version, LAST_VERSION),
            ("the depth of its index", root.indirect_levels, most),
            ("the flags of its index", root.unused_flags & FLAG_INCOMPAT, 0),
        ] {
            if found > most {
                let expected = format_args!("at most {most}");
                self.findings.tell(Kind::IndexNode, object.clone(), what, found, expected);
            }
        }
        index.hasher = self.fs.hasher(root.hash_version);
        let mut waiting: Vec<Waiting> = Vec::new();
        push(&mut waiting, &root.node.entries, root.indirect_levels, 0, u32::MAX);
        while let Some((number, levels, from, to)) = waiting.pop() {
            let object = Object::DirectoryBlock(ino, number);
            let role = if levels == 0 { Role::Leaf(from, to) } else { Role::Node };
            if index.roles.insert(number, role).is_some() {
                self.findings.tell(Kind::IndexReach, object, "it", "in the index twice", "");
                continue;
            }
            if levels == 0 {
                if number >= count {
                    self.findings.tell(Kind::IndexReach, object, "it", "missing", "");
                }
                continue;
            }
            let Some(block) = read(number)? else {
                self.findings.tell(Kind::IndexReach, object, "it", "missing", "");
                continue;
            };
            let node = DxNode::parse(&block, seed);
            let node = self.findings.note(Kind::IndexNode, &object, "a node", node)?;
            let Some(node) = node else { continue };
            let outside = node.entries.iter().skip(1).any(|e| e.hash < from || e.hash & !1 > to);
            if outside {
                let expected = format_args!("in {from}..={to}");
                let what = "a hash of a node";
                self.findings.tell(Kind::IndexOrder, object, what, "outside", expected);
            }
            push(&mut waiting, &node.entries, levels - 1, from, to);
        }
        Ok(index)
    }
}

/// What a node leads to, with the hashes of each. The lowest bit of the next entry's hash says
/// that names of just that hash begin here already.
fn push(waiting: &mut Vec<Waiting>, entries: &[DxEntry], levels: u8, from: u32, to: u32) {
    let mut to = to;
    for (n, entry) in entries.iter().enumerate().rev() {
        let begins = if n == 0 { from } else { entry.hash };
        waiting.push((u64::from(entry.block & BLOCK_MASK), levels, begins & !1, to));
        to = if begins & 1 == 1 { begins & !1 } else { begins.saturating_sub(1) };
    }
}
