//! A copy-on-write disk: changed blocks in memory, everything else from below.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, Error, Result};

/// Reads through to the disk below and keeps every written block in memory.
/// The disk below is never written.
pub struct Overlay {
    below: Arc<dyn Disk>,
    block_size: u64,
    changed: Mutex<BTreeMap<u64, Arc<[u8]>>>,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("changed", &self.map().len()).finish_non_exhaustive()
    }
}

impl Overlay {
    /// An overlay in which nothing is changed yet. `block_size` is in bytes
    /// and at least 1; writes are kept in pieces of it.
    #[must_use]
    pub fn new(below: Arc<dyn Disk>, block_size: u32) -> Self {
        let block_size = u64::from(block_size.max(1));
        Self { below, block_size, changed: Mutex::new(BTreeMap::new()) }
    }

    /// The disk below.
    #[must_use]
    pub fn below(&self) -> &Arc<dyn Disk> {
        &self.below
    }

    /// The changed blocks, number and bytes, in ascending order. (The last
    /// block of the disk may be shorter than the others.)
    #[must_use]
    pub fn changed(&self) -> Vec<(u64, Arc<[u8]>)> {
        self.map().iter().map(|(block, bytes)| (*block, Arc::clone(bytes))).collect()
    }

    /// Number of changed blocks.
    #[must_use]
    pub fn changed_count(&self) -> usize {
        self.map().len()
    }

    /// True when `block` was written.
    #[must_use]
    pub fn is_changed(&self, block: u64) -> bool {
        self.map().contains_key(&block)
    }

    /// Forgets every change.
    pub fn discard(&self) {
        self.map().clear();
    }

    /// Forgets the changes of some blocks: reads of them come from below again.
    pub fn forget(&self, blocks: Range<u64>) {
        let mut map = self.map();
        let gone: Vec<u64> = map.range(blocks).map(|(block, _)| *block).collect();
        for block in gone {
            map.remove(&block);
        }
    }

    /// The same disk below with the changes made so far; later ones of either are its own.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let changed = Mutex::new(self.map().clone());
        Self { below: Arc::clone(&self.below), block_size: self.block_size, changed }
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<[u8]>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, action: &'static str, offset: u64, len: usize) -> Result<u64> {
        offset.checked_add(len as u64).filter(|end| *end <= self.below.len()).ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            Error::Io { action, offset, source }
        })
    }

    /// As a write of a whole block, whose bytes are shared.
    pub(crate) fn put(&self, block: u64, bytes: Arc<[u8]>) -> Result<()> {
        let offset = block.saturating_mul(self.block_size);
        if bytes.len() as u64 != self.block_size {
            return self.write_at(offset, &bytes);
        }
        self.check("write", offset, bytes.len())?;
        self.map().insert(block, bytes);
        Ok(())
    }

    /// One block's bytes from below.
    fn block_below(&self, block: u64) -> Result<Vec<u8>> {
        let start = block * self.block_size;
        let len = self.below.len().saturating_sub(start).min(self.block_size);
        let mut bytes = vec![0; len as usize];
        self.below.read_at(start, &mut bytes)?;
        Ok(bytes)
    }
}

impl Disk for Overlay {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = self.check("read", offset, buffer.len())?;
        if buffer.is_empty() {
            return Ok(());
        }
        let blocks = offset / self.block_size..end.div_ceil(self.block_size);
        let changed: Vec<(u64, Arc<[u8]>)> =
            self.map().range(blocks).map(|(block, bytes)| (*block, Arc::clone(bytes))).collect();
        // What lies between changed blocks comes from below in one piece each.
        let mut rest = buffer;
        let mut at = offset;
        for (block, bytes) in changed {
            let start = block * self.block_size;
            let (gap, tail) = rest.split_at_mut(start.saturating_sub(at) as usize);
            if !gap.is_empty() {
                self.below.read_at(at, gap)?;
                at = start;
            }
            let from = bytes.get((at - start) as usize..).unwrap_or_default();
            let len = from.len().min(tail.len());
            let (to, tail) = tail.split_at_mut(len);
            to.copy_from_slice(from.get(..len).unwrap_or_default());
            at += len as u64;
            rest = tail;
        }
        if !rest.is_empty() {
            self.below.read_at(at, rest)?;
        }
        Ok(())
    }

    fn read_shared(&self, offset: u64, len: usize) -> Result<Arc<[u8]>> {
        let end = self.check("read", offset, len)?;
        let blocks = offset / self.block_size..end.div_ceil(self.block_size);
        let changed = self.map().range(blocks).next().map(|(_, bytes)| Arc::clone(bytes));
        match changed {
            None => self.below.read_shared(offset, len),
            Some(bytes) if offset.is_multiple_of(self.block_size) && bytes.len() == len => {
                Ok(bytes)
            }
            Some(_) => {
                let mut bytes = vec![0; len];
                self.read_at(offset, &mut bytes)?;
                Ok(bytes.into())
            }
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check("write", offset, data.len())?;
        let mut rest = data;
        let mut at = offset;
        let mut map = self.map();
        while !rest.is_empty() {
            let block = at / self.block_size;
            let within = (at % self.block_size) as usize;
            let full = self.below.len().saturating_sub(at - within as u64).min(self.block_size);
            let (now, later) = rest.split_at((full as usize - within).min(rest.len()));
            let bytes: Arc<[u8]> = if now.len() as u64 == full {
                Arc::from(now)
            } else {
                let mut bytes = match map.get(&block) {
                    Some(bytes) => bytes.to_vec(),
                    None => self.block_below(block)?,
                };
                crate::le::put_bytes(&mut bytes, within, now);
                Arc::from(bytes)
            };
            map.insert(block, bytes);
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Nothing to do: what lies in memory is as safe as it can be.
    fn flush(&self) -> Result<()> {
        Ok(())
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
        fn reads_like_a_disk_that_was_written(
            writes in prop::collection::vec((0u64..100, 1usize..40, any::<u8>()), 0..12),
            reads in prop::collection::vec((0u64..100, 0usize..60), 1..12),
        ) {
            // 110 bytes: the last block of 16 is cut short.
            let start: Vec<u8> = (0..110).collect();
            let below = Arc::new(MemoryDisk::from(start.clone()));
            let overlay = Overlay::new(below.clone(), 16);
            let plain = MemoryDisk::from(start.clone());
            for (offset, len, byte) in writes {
                let data = vec![byte; len];
                let expected = plain.write_at(offset, &data).is_ok();
                prop_assert_eq!(overlay.write_at(offset, &data).is_ok(), expected);
            }
            for (offset, len) in reads {
                let (mut a, mut b) = (vec![0; len], vec![0; len]);
                prop_assert_eq!(plain.read_at(offset, &mut a).is_ok(), overlay.read_at(offset, &mut b).is_ok());
                prop_assert_eq!(&a, &b);
                for (offset, len) in [(offset, len), (offset / 16 * 16, 16)] {
                    let (one, other) = (plain.read_shared(offset, len), overlay.read_shared(offset, len));
                    prop_assert_eq!(one.ok(), other.ok());
                }
            }
            for (block, bytes) in overlay.changed() {
                plain.read_at(block * 16, &mut vec![0; bytes.len()]).unwrap();
            }
            let mut below_now = vec![0; 110];
            below.read_at(0, &mut below_now).unwrap();
            prop_assert_eq!(below_now, start);
        }
    }
}
