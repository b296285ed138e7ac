//! The content of files and the targets of symbolic links.

use std::io::Write;

use super::{Filesystem, ImagePath, Run};
use crate::layout::inline;
use crate::layout::inode::{FLAG_INLINE_DATA, FileKind, Inode};
use crate::{Error, Result};

/// Bytes that are read and handed on at once.
const PIECE: usize = 1 << 20;
/// Longest target of a symbolic link, as the kernel has it.
const MOST_TARGET: u64 = 4096;

impl Filesystem {
    /// The whole content of a regular file.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when it is longer than `limit` bytes,
    /// [`Error::WrongType`] when it is no regular file, [`Error::NotFound`],
    /// and what reading meets.
    pub fn read_file(&self, path: &ImagePath, limit: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.read_file_to(path, limit, &mut content)?;
        Ok(content)
    }

    /// Writes the whole content of a regular file to `to`, in pieces; returns
    /// its length in bytes.
    ///
    /// # Errors
    /// As [`Self::read_file`], and [`Error::Source`] when `to` fails.
    pub fn read_file_to(&self, path: &ImagePath, limit: u64, to: &mut dyn Write) -> Result<u64> {
        let (ino, inode) = self.regular(path)?;
        let size = inode.size();
        if size > limit {
            return Err(Error::TooLarge { what: format!("{path} ({size} bytes)"), limit });
        }
        let mut content = self.content(ino, &inode)?;
        let mut piece = vec![0; PIECE.min(size as usize)];
        let mut offset = 0;
        while offset < size {
            let len = content.read(offset, &mut piece)?;
            let bytes = piece.get(..len).filter(|bytes| !bytes.is_empty());
            let Some(bytes) = bytes else { break };
            to.write_all(bytes).map_err(|source| Error::Source {
                what: format!("the content of {path}: the receiver failed"),
                source: Some(source),
            })?;
            offset += len as u64;
        }
        Ok(offset)
    }

    /// Reads from byte `offset` on; returns how many bytes there were, less
    /// than the buffer's length only at the file's end.
    ///
    /// # Errors
    /// As [`Self::read_file`].
    pub fn read_range(&self, path: &ImagePath, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let (ino, inode) = self.regular(path)?;
        self.content(ino, &inode)?.read(offset, buffer)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`Error::WrongType`] when it is no symbolic link, [`Error::NotFound`],
    /// and what reading meets.
    pub fn read_link(&self, path: &ImagePath) -> Result<Vec<u8>> {
        let ino = self.resolve(path, false)?;
        let inode = self.inode_in_use(ino)?;
        if inode.kind() != Some(FileKind::Symlink) {
            let reason = "it is no symbolic link";
            return Err(Error::WrongType { path: path.to_string(), reason });
        }
        self.link_target(ino, &inode)
    }

    pub(crate) fn link_target(&self, ino: u32, inode: &Inode) -> Result<Vec<u8>> {
        let corrupt =
            |what: &str| Err(Error::Corrupt { what: format!("inode {ino}: its target {what}") });
        let size = inode.size();
        if size == 0 || size > MOST_TARGET {
            return corrupt("has an impossible length");
        }
        let mut target = vec![0; size as usize];
        if inode.is_fast_symlink() {
            let from = inode.i_block();
            target.copy_from_slice(from.get(..size as usize).unwrap_or_default());
        } else if self.content(ino, inode)?.read(0, &mut target)? != target.len() {
            return corrupt("is cut short");
        }
        if target.contains(&0) {
            return corrupt("holds a NUL byte");
        }
        Ok(target)
    }

    fn regular(&self, path: &ImagePath) -> Result<(u32, Inode)> {
        let ino = self.resolve(path, true)?;
        let inode = self.inode_in_use(ino)?;
        if inode.kind() != Some(FileKind::Regular) {
            let reason = "it is no regular file";
            return Err(Error::WrongType { path: path.to_string(), reason });
        }
        Ok((ino, inode))
    }

    /// The bytes of an inode, to be read anywhere.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when data inside the inode cannot be found.
    pub(crate) fn content(&self, ino: u32, inode: &Inode) -> Result<Reader<'_>> {
        let source = if inode.has_flag(FLAG_INLINE_DATA) {
            From::Inline(self.inline_data(ino, inode)?)
        } else {
            From::Blocks(Box::new(self.block_map(ino, inode)?))
        };
        Ok(Reader { fs: self, size: inode.size(), source })
    }

    /// Data that lies in an inode: `i_block`, then the attribute `system.data`.
    pub(crate) fn inline_data(&self, ino: u32, inode: &Inode) -> Result<Vec<u8>> {
        let bytes = inline::read(inode)?;
        if (bytes.len() as u64) < inode.size() {
            return Err(inline::cut_short(ino));
        }
        Ok(bytes)
    }
}

enum From<'a> {
    Inline(Vec<u8>),
    Blocks(Box<super::BlockMap<'a>>),
}

/// Reads an inode's bytes, one piece of the device at a time.
pub(crate) struct Reader<'a> {
    fs: &'a Filesystem,
    size: u64,
    source: From<'a>,
}

impl Reader<'_> {
    /// Reads from byte `offset` on, up to the end; returns the number of bytes.
    pub(crate) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let wanted = self.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (mut rest, _) = buffer.split_at_mut(wanted);
        let mut at = offset;
        while !rest.is_empty() {
            let (len, from) = self.piece(at)?;
            let (now, later) =
                rest.split_at_mut(rest.len().min(usize::try_from(len).unwrap_or(usize::MAX)));
            match (from, &self.source) {
                (Some(position), _) => self.fs.disk().read_at(position, now)?,
                (None, From::Inline(bytes)) => {
                    let from = bytes.get(at as usize..).unwrap_or_default();
                    for (to, from) in now.iter_mut().zip(from) {
                        *to = *from;
                    }
                }
                (None, From::Blocks(_)) => now.fill(0),
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(wanted)
    }

    /// Bytes from `offset` on that lie together, and where on the device;
    /// nowhere for a hole. At most to the end of the file.
    pub(crate) fn piece(&mut self, offset: u64) -> Result<(u64, Option<u64>)> {
        let left = self.size.saturating_sub(offset);
        let From::Blocks(map) = &mut self.source else { return Ok((left, None)) };
        let block_size = u64::from(self.fs.geometry().block_size);
        let within = offset % block_size;
        let mut run = map.run(offset / block_size)?;
        // Extents end at 32,768 blocks: go on where the next continues the last.
        while let Some(physical) = run.physical
            && run.len * block_size < left
            && run.len < 1 << 20
        {
            let next = map.run(run.logical + run.len)?;
            if next.physical != Some(physical + run.len) {
                break;
            }
            run.len += next.len;
        }
        let bytes = run.len.saturating_mul(block_size).saturating_sub(within).min(left);
        Ok((bytes, run.physical.map(|block| self.fs.geometry().offset(block) + within)))
    }

    /// The run at block `logical` of the file; none when its data lies in the inode.
    pub(crate) fn run(&mut self, logical: u64) -> Result<Option<Run>> {
        match &mut self.source {
            From::Inline(_) => Ok(None),
            From::Blocks(map) => map.run(logical).map(Some),
        }
    }

    /// True when the data lies in the inode, where nothing is a hole.
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.source, From::Inline(_))
    }
}
