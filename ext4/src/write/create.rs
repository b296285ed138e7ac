//! New inodes of every kind, and their names.

use super::entry_block::Named;
use super::file_map::FileMap;
use super::volume::Volume;
use crate::ingest::{Content, Times, Xattr};
use crate::layout::features::{Compat, RoCompat};
use crate::layout::inode::{FLAG_EXTENTS, FLAG_INDEX, FileKind, Inode};
use crate::{Error, Result};

/// Names one inode can have (`EXT4_LINK_MAX`).
const MOST_NAMES: u16 = 65_000;
/// From this size on a filesystem says that it holds large files.
pub(super) const LARGE_FILE: u64 = 1 << 31;
/// Targets shorter than this lie in the inode.
const FAST_TARGET: usize = 60;

/// What every new inode is given.
#[derive(Debug, Clone)]
pub(crate) struct NewInode<'a> {
    /// Permission bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) times: Times,
    pub(crate) xattrs: &'a [Xattr],
}

/// What a new inode is to be.
pub(crate) enum NewKind<'a> {
    Directory,
    File(u64, &'a mut dyn Content),
    Symlink(&'a [u8]),
    /// A device with its numbers, a pipe or a socket.
    Node(FileKind, (u32, u32)),
}

impl NewKind<'_> {
    pub(crate) fn file_kind(&self) -> FileKind {
        match self {
            Self::Directory => FileKind::Directory,
            Self::File(..) => FileKind::Regular,
            Self::Symlink(_) => FileKind::Symlink,
            Self::Node(kind, _) => *kind,
        }
    }
}

/// Sets owner, permission bits and times; the type stays.
pub(crate) fn dress(inode: &mut Inode, kind: FileKind, new: &NewInode<'_>) {
    inode.set_i_mode(kind.mode_bits() | new.mode & 0o7777);
    inode.set_uid(new.uid);
    inode.set_gid(new.gid);
    inode.set_atime(new.times.accessed);
    inode.set_mtime(new.times.modified);
    inode.set_ctime(new.times.changed);
}

/// Refuses an inode that has as many names as one can have.
pub(super) fn refuse_more_names(inode: &Inode) -> Result<()> {
    if inode.i_links_count() >= MOST_NAMES {
        let what = "the number of names of one file".to_owned();
        return Err(Error::TooLarge { what, limit: MOST_NAMES.into() });
    }
    Ok(())
}

impl Volume {
    /// Makes an inode whose name will stand in `parent`, without the name.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::TooLarge`], and what its content meets.
    pub(crate) fn create_inode(
        &mut self,
        parent: u32,
        new: &NewInode<'_>,
        kind: NewKind<'_>,
    ) -> Result<u32> {
        let file_kind = kind.file_kind();
        if let NewKind::File(len, _) = &kind {
            self.check_length(*len)?;
        }
        let (ino, mut inode) = self.allocate_inode(parent, file_kind == FileKind::Directory)?;
        let (group, _) = self.geometry.inode_place(ino)?;
        dress(&mut inode, file_kind, new);
        let (seconds, extra) = self.now.encode();
        if inode.covers(0x98) {
            inode.set_i_crtime(seconds);
            inode.set_i_crtime_extra(extra);
        }
        inode.set_i_links_count(if file_kind == FileKind::Directory { 2 } else { 1 });
        if !new.xattrs.is_empty() {
            self.set_attributes(group, &mut inode, new.xattrs)?;
        }
        let mut map = FileMap::default();
        match kind {
            NewKind::Directory => {
                let seed = self.seed(ino, &inode);
                map = self.start_directory(ino, parent, seed)?;
                inode.set_size(self.geometry.block_size.into());
                self.store_map(ino, &mut inode, &mut map)?;
            }
            NewKind::File(len, content) => {
                map = self.write_content(content, len, group)?;
                inode.set_size(len);
                if len >= LARGE_FILE {
                    self.add_features(Compat::default(), RoCompat::LARGE_FILE);
                }
                self.store_map(ino, &mut inode, &mut map)?;
            }
            NewKind::Symlink(target) => self.store_target(ino, &mut inode, target, &mut map)?,
            NewKind::Node(kind, (major, minor)) => {
                if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
                    inode.set_device(major, minor);
                }
            }
        }
        self.count_blocks(&mut inode, &map);
        self.write_inode(ino, &inode)?;
        Ok(ino)
    }

    fn store_target(
        &mut self,
        ino: u32,
        inode: &mut Inode,
        target: &[u8],
        map: &mut FileMap,
    ) -> Result<()> {
        inode.set_size(target.len() as u64);
        if target.len() < FAST_TARGET {
            let mut bytes = [0; FAST_TARGET];
            crate::le::put_bytes(&mut bytes, 0, target);
            inode.set_i_block(&bytes);
            inode.set_i_flags(inode.i_flags() & !FLAG_EXTENTS);
            return Ok(());
        }
        let (group, _) = self.geometry.inode_place(ino)?;
        let block = self.allocate_block(self.goal(group))?;
        self.set_goal(group, block + 1);
        crate::le::put_bytes(self.blocks.fresh(block)?, 0, target);
        map.append(0, block..block + 1);
        self.store_map(ino, inode, map)
    }

    /// Refuses a target that no link can hold, before anything is changed.
    pub(crate) fn check_target(&self, target: &[u8]) -> Result<()> {
        let limit = self.geometry.block_size as usize - 1;
        if target.len() > limit {
            let what = "the target of a symbolic link".to_owned();
            return Err(Error::TooLarge { what, limit: limit as u64 });
        }
        if target.is_empty() || target.contains(&0) {
            let what = "a symbolic link: its target is empty or holds a NUL byte".to_owned();
            return Err(Error::Source { what, source: None });
        }
        Ok(())
    }

    /// Makes an inode and its name in `parent`, where that name is free.
    ///
    /// # Errors
    /// As [`Volume::create_inode`].
    pub(crate) fn create(
        &mut self,
        parent: u32,
        name: &[u8],
        new: &NewInode<'_>,
        kind: NewKind<'_>,
    ) -> Result<u32> {
        let file_kind = kind.file_kind();
        if file_kind == FileKind::Directory {
            self.check_subdirectories(parent)?;
        }
        let ino = self.create_inode(parent, new, kind)?;
        let file_type = file_kind.dirent_type();
        self.insert(parent, &Named { inode: ino, file_type, name: name.to_vec() })?;
        if file_kind == FileKind::Directory {
            self.count_subdirectory(parent)?;
        }
        Ok(ino)
    }

    pub(super) fn check_subdirectories(&mut self, parent: u32) -> Result<()> {
        let inode = self.named_inode(parent)?;
        // Only with an index may there be more than can be counted.
        let uncounted = self.has_ro_compat(RoCompat::DIR_NLINK) && inode.has_flag(FLAG_INDEX);
        if inode.i_links_count() >= MOST_NAMES && !uncounted {
            let what = format!("the number of directories in directory {parent}");
            return Err(Error::TooLarge { what, limit: u64::from(MOST_NAMES) - 2 });
        }
        Ok(())
    }

    pub(super) fn count_subdirectory(&mut self, parent: u32) -> Result<()> {
        let mut inode = self.named_inode(parent)?;
        // 1 stands for more than can be counted.
        let links = match inode.i_links_count() {
            1 => 1,
            links if links >= MOST_NAMES => 1,
            links => links + 1,
        };
        inode.set_i_links_count(links);
        self.write_inode(parent, &inode)
    }

    /// Gives an inode one more name, where that name is free.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it has as many as it can.
    pub(crate) fn link(&mut self, parent: u32, name: &[u8], ino: u32) -> Result<()> {
        let mut inode = self.named_inode(ino)?;
        let kind = inode.kind().filter(|kind| *kind != FileKind::Directory);
        let Some(kind) = kind else {
            return Err(Error::Corrupt { what: format!("inode {ino} cannot have two names") });
        };
        refuse_more_names(&inode)?;
        let file_type = kind.dirent_type();
        self.insert(parent, &Named { inode: ino, file_type, name: name.to_vec() })?;
        inode.set_i_links_count(inode.i_links_count() + 1);
        inode.set_ctime(self.now);
        self.write_inode(ino, &inode)
    }
}
