//! Directory indexes: descending, making one, and making room in it.

use super::directory::Directory;
use super::entry_block::{Named, damaged};
use super::volume::Volume;
use crate::layout::directory::entry_size;
use crate::layout::features::Incompat;
use crate::layout::hash::Hasher;
use crate::layout::htree::{DxEntry, DxNode, DxRoot, NODE_ENTRIES, ROOT_ENTRIES, limit};
use crate::layout::inode::FLAG_INDEX;
use crate::{Error, Result};

/// Bits of an index entry that name a block.
pub(super) const BLOCK_BITS: u32 = 0x0fff_ffff;

/// The way from the root to a leaf.
#[derive(Debug)]
pub(super) struct Path {
    /// Interior nodes (block of the directory; the root is 0) and the entry taken.
    steps: Vec<(u32, usize)>,
    pub(super) leaf: u32,
}

impl Directory {
    /// The node in block `logical` of the directory, 0 being the root; interior
    /// ones must have been met before.
    fn node(&self, logical: u32) -> Option<&DxNode> {
        if logical == 0 {
            self.root.as_ref().map(|root| &root.node)
        } else {
            self.nodes.get(&logical)
        }
    }

    fn node_mut(&mut self, logical: u32) -> Option<&mut DxNode> {
        if logical == 0 {
            self.root.as_mut().map(|root| &mut root.node)
        } else {
            self.nodes.get_mut(&logical)
        }
    }
}

impl Volume {
    pub(super) fn hash(&self, directory: &Directory, name: &[u8]) -> Result<u32> {
        let version = directory.root.as_ref().map_or(0, |root| root.hash_version);
        Ok(self.hasher(version)?.hash(name).0)
    }

    /// Reads an interior node unless it was met before.
    fn meet(&mut self, ino: u32, directory: &mut Directory, logical: u32) -> Result<()> {
        if logical != 0 && !directory.nodes.contains_key(&logical) {
            let block = self.directory_block(ino, directory, logical)?;
            let node = DxNode::parse(self.blocks.read(block)?, directory.seed)?;
            directory.nodes.insert(logical, node);
        }
        Ok(())
    }

    /// Follows the index from entry `at` of a node to the leaf below.
    fn follow(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        path: &mut Path,
        choose: impl Fn(&DxNode) -> usize,
    ) -> Result<()> {
        let levels = directory.root.as_ref().map_or(0, |root| usize::from(root.indirect_levels));
        let missing = || damaged(ino, "its index leads nowhere");
        loop {
            let (node, at) = path.steps.last().copied().ok_or_else(missing)?;
            let entry = directory.node(node).and_then(|node| node.entries.get(at));
            let below = entry.ok_or_else(missing)?.block & BLOCK_BITS;
            if below == 0 || below >= directory.blocks {
                return Err(missing());
            }
            if path.steps.len() > levels {
                path.leaf = below;
                return Ok(());
            }
            self.meet(ino, directory, below)?;
            let at = directory.node(below).map_or(0, &choose);
            path.steps.push((below, at));
        }
    }

    /// The way to the leaf that holds names of this hash.
    pub(super) fn descend(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        hash: u32,
    ) -> Result<Path> {
        let at = directory.node(0).map_or(0, |root| root.position(hash));
        let mut path = Path { steps: vec![(0, at)], leaf: 0 };
        self.follow(ino, directory, &mut path, |node| node.position(hash))?;
        Ok(path)
    }

    /// Goes on to the next leaf when it continues names of the same hash.
    pub(super) fn next_leaf(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        path: &mut Path,
        hash: u32,
    ) -> Result<bool> {
        while let Some((node, at)) = path.steps.pop() {
            let next = directory.node(node).and_then(|node| node.entries.get(at + 1));
            let Some(next) = next else { continue };
            if next.hash & !1 != hash {
                return Ok(false);
            }
            path.steps.push((node, at + 1));
            self.follow(ino, directory, path, |_| 0)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes a node of the index where it lies.
    pub(super) fn write_node(
        &mut self,
        ino: u32,
        directory: &Directory,
        logical: u32,
    ) -> Result<()> {
        let block = self.directory_block(ino, directory, logical)?;
        let missing = || damaged(ino, "a node of its index is missing");
        if logical == 0 {
            let root = directory.root.as_ref().ok_or_else(missing)?;
            let types = self.form().types;
            root.encode_into(self.blocks.edit(block)?, ino, types, directory.seed)
        } else {
            let node = directory.node(logical).ok_or_else(missing)?;
            node.encode_into(self.blocks.edit(block)?, directory.seed)
        }
    }

    /// Gives a directory of one full block an index.
    pub(super) fn make_index(&mut self, ino: u32, directory: &mut Directory) -> Result<()> {
        let form = self.form();
        let first = self.directory_block(ino, directory, 0)?;
        let mut entries = form.collect(self.blocks.read(first)?)?;
        let parent = entries.iter().find(|entry| entry.name == b"..").map(|entry| entry.inode);
        let parent = parent.ok_or_else(|| damaged(ino, "it has no parent"))?;
        entries.retain(|entry| entry.name != b"." && entry.name != b"..");
        let (logical, block) = self.append_block(ino, directory)?;
        self.blocks.fresh(block)?;
        self.edit_leaf(block, directory.seed, |bytes| Ok(form.fill(bytes, &entries)))?;
        let node = DxNode {
            limit: limit(self.geometry.block_size, ROOT_ENTRIES, self.checksums.metadata),
            entries: vec![DxEntry { hash: 0, block: logical }],
        };
        directory.root = Some(DxRoot {
            parent,
            hash_version: self.sb.s_def_hash_version(),
            indirect_levels: 0,
            unused_flags: 0,
            node,
        });
        self.blocks.fresh(first)?;
        self.write_node(ino, directory, 0)?;
        let mut inode = self.read_inode(ino)?;
        inode.set_i_flags(inode.i_flags() | FLAG_INDEX);
        self.write_inode(ino, &inode)
    }

    /// Adds a name to the leaf its hash belongs to, split when it is full.
    pub(super) fn insert_indexed(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        new: &Named,
    ) -> Result<()> {
        let form = self.form();
        let hash = self.hash(directory, &new.name)?;
        let path = self.descend(ino, directory, hash)?;
        let block = self.directory_block(ino, directory, path.leaf)?;
        if self.edit_leaf(block, directory.seed, |bytes| form.insert(bytes, new, 0))?.is_some() {
            return Ok(());
        }
        let path = self.make_room(ino, directory, path, hash)?;
        self.split_leaf(ino, directory, &path, new)
    }

    /// Sees to it that the lowest node on the way can take one more entry.
    fn make_room(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        mut path: Path,
        hash: u32,
    ) -> Result<Path> {
        let deepest = if self.has_incompat(Incompat::LARGEDIR) { 2 } else { 1 };
        loop {
            let full = |step: &(u32, usize)| {
                directory
                    .node(step.0)
                    .is_some_and(|node| node.entries.len() >= usize::from(node.limit))
            };
            // The lowest node with room, counted from the root.
            let Some(roomy) = path.steps.iter().rposition(|step| !full(step)) else {
                self.grow(ino, directory, deepest)?;
                path = self.descend(ino, directory, hash)?;
                continue;
            };
            let Some((below, _)) = path.steps.get(roomy + 1).copied() else { return Ok(path) };
            let (above, at) = path.steps.get(roomy).copied().unwrap_or_default();
            self.split_node(ino, directory, (above, at), below)?;
            path = self.descend(ino, directory, hash)?;
        }
    }

    /// One more level: what the root held goes into a node of its own.
    fn grow(&mut self, ino: u32, directory: &mut Directory, deepest: u8) -> Result<()> {
        let levels = directory.root.as_ref().map_or(0, |root| root.indirect_levels);
        if levels >= deepest {
            return Err(Error::NoSpace { what: format!("the index of directory {ino} is full") });
        }
        let (logical, block) = self.append_block(ino, directory)?;
        self.blocks.fresh(block)?;
        let limit = limit(self.geometry.block_size, NODE_ENTRIES, self.checksums.metadata);
        let Some(root) = directory.root.as_mut() else {
            return Err(damaged(ino, "its index is missing"));
        };
        let entries = vec![DxEntry { hash: 0, block: logical }];
        let entries = std::mem::replace(&mut root.node.entries, entries);
        root.indirect_levels += 1;
        directory.nodes.insert(logical, DxNode { limit, entries });
        self.write_node(ino, directory, logical)?;
        self.write_node(ino, directory, 0)
    }

    /// Moves the upper half of an interior node to a new one beside it.
    fn split_node(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        (above, at): (u32, usize),
        below: u32,
    ) -> Result<()> {
        let (logical, block) = self.append_block(ino, directory)?;
        self.blocks.fresh(block)?;
        let missing = || damaged(ino, "a node of its index is missing");
        let node = directory.node_mut(below).ok_or_else(missing)?;
        let upper = node.entries.split_off(node.entries.len() / 2);
        let new = DxNode { limit: node.limit, entries: upper };
        let hash = new.entries.first().ok_or_else(missing)?.hash;
        directory.nodes.insert(logical, new);
        let parent = directory.node_mut(above).ok_or_else(missing)?;
        parent.entries.insert(at + 1, DxEntry { hash, block: logical });
        for changed in [below, logical, above] {
            self.write_node(ino, directory, changed)?;
        }
        Ok(())
    }

    /// Divides a full leaf and the new entry by hash between it and a new one.
    fn split_leaf(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        path: &Path,
        new: &Named,
    ) -> Result<()> {
        let form = self.form();
        let missing = || damaged(ino, "a leaf of its index cannot be split");
        let version = directory.root.as_ref().map_or(0, |root| root.hash_version);
        let hasher = self.hasher(version)?;
        let lower = self.directory_block(ino, directory, path.leaf)?;
        let bytes = self.blocks.read(lower)?;
        let room = form.room(bytes);
        let mut entries = form.collect(bytes)?;
        entries.push(new.clone());
        let mut entries = hashed(entries, hasher);
        let at = division(&entries, room).ok_or_else(missing)?;
        let upper = entries.split_off(at);
        let (Some(first), Some(last)) = (upper.first(), entries.last()) else {
            return Err(missing());
        };
        // Names of one hash in both leaves: the mark makes a search go on.
        let hash = first.0 | u32::from(first.0 == last.0);
        let (logical, block) = self.append_block(ino, directory)?;
        self.blocks.fresh(block)?;
        for (block, half) in [(lower, entries), (block, upper)] {
            let half: Vec<Named> = half.into_iter().map(|(_, entry)| entry).collect();
            if !self.edit_leaf(block, directory.seed, |bytes| Ok(form.fill(bytes, &half)))? {
                return Err(missing());
            }
        }
        let (node, at) = path.steps.last().copied().ok_or_else(missing)?;
        let parent = directory.node_mut(node).ok_or_else(missing)?;
        parent.entries.insert(at + 1, DxEntry { hash, block: logical });
        self.write_node(ino, directory, node)
    }
}

/// Entries with their hashes, in order of those.
fn hashed(entries: Vec<Named>, hasher: Hasher) -> Vec<(u32, Named)> {
    let mut hashed: Vec<_> =
        entries.into_iter().map(|entry| (hasher.hash(&entry.name).0, entry)).collect();
    hashed.sort_by_key(|(hash, _)| *hash);
    hashed
}

/// Where to divide: both parts fit, no hash lies in both when that can be had, and
/// then as near to the middle as possible.
fn division(entries: &[(u32, Named)], room: usize) -> Option<usize> {
    let sizes: Vec<usize> = entries.iter().map(|(_, e)| entry_size(e.name.len())).collect();
    let total: usize = sizes.iter().sum();
    let mut best: Option<(bool, usize, usize)> = None;
    let mut below = 0;
    for at in 1..entries.len() {
        below += sizes.get(at - 1)?;
        if below > room || total - below > room {
            continue;
        }
        let collides = entries.get(at)?.0 == entries.get(at - 1)?.0;
        let candidate = (collides, below.abs_diff(total - below), at);
        if best.is_none_or(|best| candidate < best) {
            best = Some(candidate);
        }
    }
    best.map(|(.., at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(hash: u32, len: usize) -> (u32, Named) {
        (hash, Named { inode: 12, file_type: 1, name: vec![b'x'; len] })
    }

    #[test]
    fn leaves_are_divided_between_hashes_where_that_can_be_had() {
        let same: Vec<_> = [2, 4, 4, 4, 4, 4, 6].map(|hash| entry(hash, 8)).into();
        assert_eq!(division(&same, 1000), Some(1));
        // Only a division among equal hashes fits.
        assert_eq!(division(&same, 64), Some(3));
        let all: Vec<_> = (0..4).map(|_| entry(2, 8)).collect();
        assert_eq!(division(&all, 1000), Some(2));
        assert_eq!(division(&all, 16), None);
    }
}
