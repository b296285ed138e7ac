//! A disk whose blocks are read once: what a batch looks at, its check looks at again.

use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::number_map::NumberMap;
use crate::{Disk, Result};

/// Bytes of blocks that are kept at most.
const MOST: usize = 4 << 20;

/// Keeps the blocks that were read from the disk below. What is written goes there at once.
/// Nobody else may write to that disk.
pub(crate) struct Kept {
    below: Arc<dyn Disk>,
    block_size: usize,
    blocks: Mutex<NumberMap<u64, Arc<[u8]>>>,
}

impl Kept {
    /// Nothing is kept yet; `block_size` is in bytes.
    pub(crate) fn new(below: Arc<dyn Disk>, block_size: u32) -> Self {
        let block_size = block_size.max(1) as usize;
        Self { below, block_size, blocks: Mutex::default() }
    }

    fn blocks(&self) -> MutexGuard<'_, NumberMap<u64, Arc<[u8]>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(&self, number: u64) -> Result<Arc<[u8]>> {
        // Held while reading: a write meanwhile must not be missed.
        let mut blocks = self.blocks();
        if let Some(block) = blocks.get(&number) {
            return Ok(Arc::clone(block));
        }
        let bytes = self.below.read_shared(number * self.block_size as u64, self.block_size)?;
        if blocks.len() >= MOST / self.block_size {
            blocks.clear();
        }
        blocks.insert(number, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Writes `len` bytes from `offset` on; what was kept of them counts no more.
    fn write(&self, offset: u64, len: usize, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let size = self.block_size as u64;
        let written = offset / size..(offset + len as u64).div_ceil(size);
        let mut blocks = self.blocks();
        if written.end - written.start > blocks.len() as u64 {
            blocks.retain(|number, _| !written.contains(number));
        } else {
            written.for_each(|number| drop(blocks.remove(&number)));
        }
        // Still held: nobody reads meanwhile what was there before.
        write()
    }
}

impl Disk for Kept {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let size = self.block_size as u64;
        let (number, within) = (offset / size, (offset % size) as usize);
        let whole = (number + 1).saturating_mul(size) <= self.below.len();
        if within + buffer.len() > self.block_size || !whole {
            return self.below.read_at(offset, buffer);
        }
        let block = self.block(number)?;
        if let Some(from) = block.get(within..within + buffer.len()) {
            buffer.copy_from_slice(from);
        }
        Ok(())
    }

    fn read_shared(&self, offset: u64, len: usize) -> Result<Arc<[u8]>> {
        let size = self.block_size as u64;
        let whole = len == self.block_size && offset.is_multiple_of(size);
        if whole && offset.saturating_add(size) <= self.below.len() {
            return self.block(offset / size);
        }
        self.below.read_shared(offset, len)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write(offset, data.len(), || self.below.write_at(offset, data))
    }

    fn write_vectored_at(&self, offset: u64, pieces: &mut [IoSlice<'_>]) -> Result<()> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        self.write(offset, len, || self.below.write_vectored_at(offset, pieces))
    }

    fn flush(&self) -> Result<()> {
        self.below.flush()
    }

    fn len(&self) -> u64 {
        self.below.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_reads_like_the_disk_below(
            steps in prop::collection::vec((0u64..120, 0usize..40, any::<Option<u8>>()), 1..40),
        ) {
            // 110 bytes: the last block of 16 is cut short.
            let below: Arc<dyn Disk> = Arc::new(MemoryDisk::from((0..110).collect::<Vec<u8>>()));
            let kept = Kept::new(Arc::clone(&below), 16);
            for (offset, len, write) in steps {
                let (mut one, mut other) = (vec![0; len], vec![0; len]);
                if let Some(byte) = write {
                    let _beyond_the_end = kept.write_at(offset, &vec![byte; len]);
                }
                let read = below.read_at(offset, &mut one).is_ok();
                prop_assert_eq!(kept.read_at(offset, &mut other).is_ok(), read);
                prop_assert_eq!(&one, &other);
                let shared = kept.read_shared(offset, len);
                prop_assert_eq!(shared.is_ok(), read);
                prop_assert!(shared.is_ok_and(|shared| shared[..] == one[..]) || !read);
                let block = offset / 16 * 16;
                let shared = kept.read_shared(block, 16);
                prop_assert_eq!(shared.is_ok(), below.read_at(block, &mut [0; 16]).is_ok());
            }
        }
    }

    #[test]
    fn a_block_is_read_once() {
        let below = Arc::new(MemoryDisk::from(vec![1; 64]));
        let kept = Kept::new(Arc::clone(&below) as Arc<dyn Disk>, 16);
        let mut byte = [0];
        kept.read_at(5, &mut byte).unwrap();
        below.write_at(0, &[2; 64]).unwrap();
        kept.read_at(6, &mut byte).unwrap();
        assert_eq!(byte, [1]);
        kept.read_at(16, &mut byte).unwrap();
        assert_eq!(byte, [2]);
    }
}
