//! What a new filesystem is written as: bytes that are there, and such as follow from numbers.

use std::sync::Arc;

use crate::layout::superblock::Superblock;
use crate::{Disk, Result, le};

/// Bytes up to which a call more costs more than a copy.
const SMALL: usize = 16 << 10;
/// Bytes that are made and written at once, up to a multiple of it: what is written across more
/// pieces of the page cache costs more, and so does memory that is first used for it.
const PIECE: u64 = 32 << 10;

/// What one write writes, some of it several times.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Made(Arc<Vec<u8>>),
    /// Of a disk of 64 GiB these are 2 MiB, nearly all of it zero: made where they are written.
    Pointers(Pointers),
    /// Made where they are written as well: memory that is first used for each takes longer.
    Backup(Backup),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Made(Arc::new(bytes))
    }
}

impl From<Arc<Vec<u8>>> for Bytes {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Self::Made(bytes)
    }
}

impl From<Pointers> for Bytes {
    fn from(pointers: Pointers) -> Self {
        Self::Pointers(pointers)
    }
}

impl From<Backup> for Bytes {
    fn from(backup: Backup) -> Self {
        Self::Backup(backup)
    }
}

impl Bytes {
    /// Brings them to their place, made in `scratch` where they are not made yet.
    pub(super) fn write(&self, disk: &dyn Disk, offset: u64, scratch: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Made(bytes) => disk.write_at(offset, bytes),
            Self::Pointers(pointers) => pointers.write(disk, offset, scratch),
            Self::Backup(backup) => backup.write(disk, offset, scratch),
        }
    }

    /// What may be joined with its neighbours.
    fn small(&self) -> Option<&Arc<Vec<u8>>> {
        match self {
            Self::Made(bytes) if bytes.len() <= SMALL => Some(bytes),
            _ => None,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Made(bytes) => bytes.len() as u64,
            Self::Pointers(pointers) => pointers.len(),
            Self::Backup(backup) => backup.len(),
        }
    }
}

/// Blocks that list the copies of reserved descriptor blocks: each the numbers of the block
/// before, and one more.
#[derive(Debug, Clone)]
pub(super) struct Pointers {
    pub(super) block_size: usize,
    pub(super) blocks: u32,
    /// What the first lists.
    pub(super) first: Vec<u64>,
}

impl Pointers {
    fn len(&self) -> u64 {
        self.block_size as u64 * u64::from(self.blocks)
    }

    fn write(&self, disk: &dyn Disk, mut offset: u64, piece: &mut Vec<u8>) -> Result<()> {
        let size = self.block_size as u64;
        piece.clear();
        piece.resize(PIECE.min(self.len()) as usize, 0);
        let mut number = 0;
        while number < self.blocks {
            let room = ((PIECE - offset % PIECE) / size) as usize * self.block_size;
            let room = room.min(piece.len());
            let mut filled = 0;
            let blocks = piece.get_mut(..room).unwrap_or_default();
            for (n, block) in (number..self.blocks).zip(blocks.chunks_exact_mut(self.block_size)) {
                // The numbers of the piece before lie in the same places.
                for (k, first) in self.first.iter().enumerate() {
                    le::put(block, k * 4, (first + u64::from(n)) as u32);
                }
                filled += 1;
            }
            let bytes = piece.get(..filled as usize * self.block_size).unwrap_or_default();
            disk.write_at(offset, bytes)?;
            offset += bytes.len() as u64;
            number += filled;
        }
        Ok(())
    }
}

/// The superblock and the descriptors as they begin a group.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub(super) superblock: Arc<Superblock>,
    /// `s_block_group_nr`.
    pub(super) group: u16,
    pub(super) block_size: u32,
    pub(super) descriptors: Arc<Vec<u8>>,
}

impl Backup {
    fn len(&self) -> u64 {
        u64::from(self.block_size) + self.descriptors.len() as u64
    }

    fn write(&self, disk: &dyn Disk, offset: u64, block: &mut Vec<u8>) -> Result<()> {
        block.clear();
        let mut superblock = Superblock::clone(&self.superblock);
        superblock.set_s_block_group_nr(self.group);
        block.extend(superblock.encode());
        block.resize(self.block_size as usize, 0);
        if self.descriptors.len() <= SMALL {
            block.extend_from_slice(&self.descriptors);
            return disk.write_at(offset, block);
        }
        disk.write_at(offset, block)?;
        disk.write_at(offset + u64::from(self.block_size), &self.descriptors)
    }
}

/// Writes as they are collected.
#[derive(Debug, Default)]
pub(super) struct Writes {
    list: Vec<(u64, Bytes)>,
}

impl Writes {
    pub(super) fn push(&mut self, offset: u64, bytes: impl Into<Bytes>) {
        self.list.push((offset, bytes.into()));
    }

    /// Ascending, small neighbours joined into one that begin at `from` or behind it.
    pub(super) fn joined(mut self, from: u64) -> Vec<(u64, Bytes)> {
        self.list.sort_by_key(|(offset, _)| *offset);
        let mut rest = self.list.into_iter().peekable();
        let mut joined = Vec::with_capacity(rest.len());
        while let Some((offset, bytes)) = rest.next() {
            let mut end = offset + bytes.len();
            let Some(first) = bytes.small().filter(|_| offset >= from) else {
                joined.push((offset, bytes));
                continue;
            };
            let mut whole: Option<Vec<u8>> = None;
            while let Some((_, next)) =
                rest.next_if(|(offset, next)| *offset == end && next.small().is_some())
            {
                end += next.len();
                let next = next.small().map_or(&[][..], |next| next);
                whole.get_or_insert_with(|| first.to_vec()).extend_from_slice(next);
            }
            joined.push((offset, whole.map_or(bytes, Bytes::from)));
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn pointers_are_the_same_in_however_many_pieces() {
        let pointers = Pointers { block_size: 1024, blocks: 150, first: vec![7, 1 << 20] };
        let disk = MemoryDisk::from(vec![1; 152 << 10]);
        // What was in it does not matter.
        pointers.write(&disk, 1024, &mut vec![1; 7]).unwrap();
        let bytes = disk.into_bytes();
        for (n, block) in (0_u32..).zip(bytes.chunks(1024).skip(1).take(150)) {
            assert_eq!(le::get::<u32>(block, 0), Some(7 + n));
            assert_eq!(le::get::<u32>(block, 4), Some((1 << 20) + n));
            assert!(block[8..].iter().all(|byte| *byte == 0), "{n}");
        }
        assert_eq!((bytes[1023], bytes[151 << 10]), (1, 1), "and nothing else");
    }

    #[test]
    fn small_neighbours_are_one_write() {
        let mut writes = Writes::default();
        for (offset, len) in [(4, 4), (0, 4), (12, 4), (16, SMALL + 1), (17 + SMALL as u64, 1)] {
            writes.push(offset, vec![offset as u8; len]);
        }
        let lengths = |writes: Writes, from| -> Vec<_> {
            writes.joined(from).iter().map(|(offset, bytes)| (*offset, bytes.len())).collect()
        };
        let large = SMALL as u64 + 1;
        let apart = Writes { list: writes.list.clone() };
        assert_eq!(lengths(writes, 0), [(0, 8), (12, 4), (16, large), (16 + large, 1)]);
        assert_eq!(lengths(apart, 12).get(..2), Some(&[(0, 4), (4, 4)][..]));
    }
}
