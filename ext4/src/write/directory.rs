//! Directories: looking up, adding and removing names, linear or with an index.

use super::create::LARGE_FILE;
use super::entry_block::{Form, Named, damaged};
use super::file_map::FileMap;
use super::split::BLOCK_BITS;
use super::volume::Volume;
use crate::layout::directory::put_tail_entry;
use crate::layout::features::{Compat, Incompat, RoCompat};
use crate::layout::htree::{DxNode, DxRoot};
use crate::layout::inode::{FLAG_INDEX, FLAG_INLINE_DATA, FileKind};
use crate::number_map::NumberMap;
use crate::{Error, Result};

/// Directories that are kept in memory.
const MOST_KEPT: usize = 4096;

/// A directory that was looked into.
pub(crate) struct Directory {
    pub(super) map: FileMap,
    pub(super) seed: Option<u32>,
    /// Its entries lie in its inode: it has no blocks.
    pub(super) inline: bool,
    /// Blocks in all.
    pub(super) blocks: u32,
    /// The index, where there is one.
    pub(super) root: Option<DxRoot>,
    /// Interior nodes of the index that were met, by block of the directory.
    pub(super) nodes: NumberMap<u32, DxNode>,
    /// Linear: blocks before this one are full.
    pub(super) full_below: u32,
    /// Linear: the block that the last name went into, and the byte of its entry. What room there
    /// is lies behind it, mostly.
    pub(super) last: (u32, usize),
}

impl Volume {
    pub(super) fn form(&self) -> Form {
        Form { tail: self.checksums.metadata, types: self.has_incompat(Incompat::FILETYPE) }
    }

    /// Takes a directory out of the cache, or reads it; to be put back.
    pub(super) fn take_directory(&mut self, ino: u32) -> Result<Directory> {
        if let Some(directory) = self.directories.remove(&ino) {
            return Ok(directory);
        }
        if self.directories.len() >= MOST_KEPT {
            self.directories.clear();
        }
        let inode = self.named_inode(ino)?;
        if inode.kind() != Some(FileKind::Directory) {
            return Err(damaged(ino, "it is none"));
        }
        let map = self.load_map(ino, &inode)?;
        let seed = self.seed(ino, &inode);
        let mut directory = Directory {
            map,
            seed,
            inline: inode.has_flag(FLAG_INLINE_DATA),
            blocks: 0,
            root: None,
            nodes: NumberMap::default(),
            full_below: 0,
            last: (0, 0),
        };
        if directory.inline {
            return Ok(directory);
        }
        let size = u64::from(self.geometry.block_size);
        let blocks = u32::try_from(inode.size() / size).unwrap_or(0);
        if blocks == 0 || inode.size() % size != 0 {
            return Err(damaged(ino, "its size is no number of blocks"));
        }
        directory.blocks = blocks;
        if inode.has_flag(FLAG_INDEX) && self.has_compat(Compat::DIR_INDEX) {
            let block = self.directory_block(ino, &directory, 0)?;
            directory.root = Some(DxRoot::parse(self.blocks.read(block)?, seed)?);
        }
        Ok(directory)
    }

    /// Where a block of the directory lies on the device.
    pub(super) fn directory_block(
        &self,
        ino: u32,
        directory: &Directory,
        logical: u32,
    ) -> Result<u64> {
        directory
            .map
            .block(logical)
            .filter(|block| logical < directory.blocks && self.geometry.is_data_block(*block))
            .ok_or_else(|| damaged(ino, &format!("its block {logical} is missing")))
    }

    /// A block of entries, its checksum right.
    fn leaf(&mut self, ino: u32, directory: &Directory, logical: u32) -> Result<(u64, &[u8])> {
        let block = self.directory_block(ino, directory, logical)?;
        Ok((block, self.blocks.read_leaf(block, directory.seed)?))
    }

    /// Changes a block of entries, whose checksum is made anew later.
    pub(super) fn edit_leaf<T>(
        &mut self,
        block: u64,
        seed: Option<u32>,
        change: impl FnOnce(&mut [u8]) -> Result<T>,
    ) -> Result<T> {
        let bytes = self.blocks.edit_leaf(block, seed)?;
        let result = change(bytes)?;
        if seed.is_some() {
            put_tail_entry(bytes);
        }
        Ok(result)
    }

    /// The inode and `file_type` a name leads to, and the block that says so.
    fn find(
        &mut self,
        ino: u32,
        directory: &mut Directory,
        name: &[u8],
    ) -> Result<Option<(u64, u32, u8)>> {
        let form = self.form();
        if name == b"." || name == b".." || directory.root.is_none() {
            let blocks = if directory.root.is_some() { 1 } else { directory.blocks };
            for logical in 0..blocks {
                let indexed = directory.root.is_some();
                let (block, bytes) = if indexed {
                    let block = self.directory_block(ino, directory, logical)?;
                    (block, self.blocks.read(block)?)
                } else {
                    self.leaf(ino, directory, logical)?
                };
                let form = Form { tail: form.tail && !indexed, ..form };
                if let Some((found, kind)) = form.find(bytes, name)? {
                    return Ok(Some((block, found, kind)));
                }
            }
            return Ok(None);
        }
        let hash = self.hash(directory, name)?;
        let mut path = self.descend(ino, directory, hash)?;
        loop {
            let (block, bytes) = self.leaf(ino, directory, path.leaf)?;
            if let Some((found, kind)) = form.find(bytes, name)? {
                return Ok(Some((block, found, kind)));
            }
            if !self.next_leaf(ino, directory, &mut path, hash)? {
                return Ok(None);
            }
        }
    }

    /// The inode and `file_type` a name of a directory leads to.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn lookup(&mut self, ino: u32, name: &[u8]) -> Result<Option<(u32, u8)>> {
        let mut directory = self.take_directory(ino)?;
        let found = if directory.inline {
            self.find_inline(ino, name)?
        } else {
            self.find(ino, &mut directory, name)?.map(|(_, inode, kind)| (inode, kind))
        };
        self.directories.insert(ino, directory);
        Ok(found)
    }

    /// Adds a name that is not there yet.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the directory cannot grow.
    pub(crate) fn insert(&mut self, ino: u32, new: &Named) -> Result<()> {
        self.note_written(ino);
        let mut directory = self.take_directory(ino)?;
        if directory.inline {
            if self.edit_inline(ino, |form, bytes| Ok(form.insert(bytes, new, 0)?.is_some()))? {
                self.directories.insert(ino, directory);
                return Ok(());
            }
            self.convert_inline(ino, &mut directory)?;
        }
        if directory.root.is_some() {
            self.insert_indexed(ino, &mut directory, new)?;
        } else {
            self.insert_linear(ino, &mut directory, new)?;
        }
        self.directories.insert(ino, directory);
        Ok(())
    }

    fn insert_linear(&mut self, ino: u32, directory: &mut Directory, new: &Named) -> Result<()> {
        let form = self.form();
        for logical in directory.full_below..directory.blocks {
            let (block, _) = self.leaf(ino, directory, logical)?;
            let last = match directory.last {
                (last, from) if last == logical => from,
                _ => 0,
            };
            let put = self.edit_leaf(block, directory.seed, |bytes| {
                Ok(match form.insert(bytes, new, last)? {
                    None if last > 0 => form.insert(bytes, new, 0)?,
                    put => put,
                })
            })?;
            if let Some(at) = put {
                directory.last = (logical, at);
                return Ok(());
            }
            // Full for this name is near enough to full for the next.
            directory.full_below = logical;
        }
        if directory.blocks == 1 && self.has_compat(Compat::DIR_INDEX) {
            self.make_index(ino, directory)?;
            return self.insert_indexed(ino, directory, new);
        }
        let (_, block) = self.append_block(ino, directory)?;
        self.blocks.fresh(block)?;
        let filled = self.edit_leaf(block, directory.seed, |bytes| {
            Ok(form.fill(bytes, std::slice::from_ref(new)))
        })?;
        if filled { Ok(()) } else { Err(damaged(ino, "a name does not fit an empty block")) }
    }

    /// Gives the directory one more block, not written yet.
    pub(super) fn append_block(
        &mut self,
        ino: u32,
        directory: &mut Directory,
    ) -> Result<(u32, u64)> {
        let logical = directory.blocks;
        let size = u64::from(self.geometry.block_size);
        let bytes = (u64::from(logical) + 1) * size;
        // Without `large_dir` sizes have 32 bits, and with it numbers of blocks have 28.
        let most = match self.has_incompat(Incompat::LARGEDIR) {
            true => u64::from(BLOCK_BITS) * size,
            false => u64::from(u32::MAX),
        };
        if bytes > most {
            return Err(Error::NoSpace { what: format!("directory {ino} cannot grow any more") });
        }
        if bytes >= LARGE_FILE {
            self.add_features(Compat::default(), RoCompat::LARGE_FILE);
        }
        let mut inode = self.read_inode(ino)?;
        let (group, _) = self.geometry.inode_place(ino)?;
        let goal = directory.map.end().map_or_else(|| self.goal(group), |(_, goal)| goal);
        let block = self.allocate_block(goal)?;
        directory.map.append(logical, block..block + 1);
        directory.blocks += 1;
        self.store_map(ino, &mut inode, &mut directory.map)?;
        inode.set_size(bytes);
        self.write_inode(ino, &inode)?;
        Ok((logical, block))
    }

    /// Removes a name.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not there: callers have looked it up.
    pub(crate) fn unlink(&mut self, ino: u32, name: &[u8]) -> Result<()> {
        self.note_written(ino);
        let form = self.form();
        let gone = || damaged(ino, "a name is gone");
        let mut directory = self.take_directory(ino)?;
        if directory.inline {
            if !self.edit_inline(ino, |form, bytes| form.remove(bytes, name))? {
                return Err(gone());
            }
            self.ways.clear();
        } else {
            let (block, leaves, _) = self.find(ino, &mut directory, name)?.ok_or_else(gone)?;
            self.forget_ways(leaves);
            self.edit_leaf(block, directory.seed, |bytes| form.remove(bytes, name))?;
        }
        (directory.full_below, directory.last) = (0, (0, 0));
        self.directories.insert(ino, directory);
        Ok(())
    }

    /// Lets a name lead to another inode.
    ///
    /// # Errors
    /// As [`Volume::unlink`].
    pub(crate) fn relink(&mut self, ino: u32, new: &Named) -> Result<()> {
        self.note_written(ino);
        let form = self.form();
        let gone = || damaged(ino, "a name is gone");
        let relink =
            |form: Form, bytes: &mut [u8]| form.relink(bytes, &new.name, new.inode, new.file_type);
        let mut directory = self.take_directory(ino)?;
        if directory.inline {
            if !self.edit_inline(ino, relink)? {
                return Err(gone());
            }
            self.ways.clear();
        } else {
            let (block, leaves, _) = self.find(ino, &mut directory, &new.name)?.ok_or_else(gone)?;
            self.forget_ways(leaves);
            self.edit_leaf(block, directory.seed, |bytes| relink(form, bytes))?;
        }
        self.directories.insert(ino, directory);
        Ok(())
    }

    /// Every name of a directory but `.` and `..`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn names(&mut self, ino: u32) -> Result<Vec<Named>> {
        let form = self.form();
        let directory = self.take_directory(ino)?;
        let mut found = if directory.inline { self.inline_names(ino)? } else { Vec::new() };
        for logical in 0..directory.blocks {
            let block = self.directory_block(ino, &directory, logical)?;
            let bytes = self.blocks.read(block)?;
            // Nodes of an index look like blocks without entries.
            let form = if directory.root.is_some() { Form { tail: false, ..form } } else { form };
            found.extend(form.collect(bytes)?);
        }
        found.retain(|entry| entry.name != b"." && entry.name != b"..");
        self.directories.insert(ino, directory);
        Ok(found)
    }

    /// The first block of a new directory; its inode is written by the caller.
    pub(crate) fn start_directory(
        &mut self,
        ino: u32,
        parent: u32,
        seed: Option<u32>,
    ) -> Result<FileMap> {
        let form = self.form();
        let (group, _) = self.geometry.inode_place(ino)?;
        let block = self.allocate_block(self.goal(group))?;
        self.set_goal(group, block + 1);
        let dot = |name: &[u8], inode| Named { inode, file_type: 2, name: name.to_vec() };
        self.blocks.fresh(block)?;
        self.edit_leaf(block, seed, |bytes| {
            Ok(form.fill(bytes, &[dot(b".", ino), dot(b"..", parent)]))
        })?;
        let mut map = FileMap::default();
        map.append(0, block..block + 1);
        Ok(map)
    }
}
