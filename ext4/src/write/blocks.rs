//! Blocks of metadata in memory, changed in place and handed to the overlay at once.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::layout::directory::{check_tail, put_tail};
use crate::number_map::NumberMap;
use crate::{Disk, Error, Overlay, Result};

struct Cached {
    /// What else has them sees no later change.
    bytes: Arc<[u8]>,
    changed: bool,
    /// Of a block of directory entries: its checksum was found right, or is made anew.
    summed: bool,
    /// The seed with which that is done when the block is handed on.
    tail: Option<u32>,
}

impl Cached {
    /// The bytes as they are handed on.
    fn finish(&mut self) -> &Arc<[u8]> {
        if let Some(seed) = self.tail.take() {
            put_tail(Arc::make_mut(&mut self.bytes), seed);
        }
        &self.bytes
    }
}

/// What was read or changed of the metadata. The overlay sees changes after
/// [`Blocks::sync`].
pub(crate) struct Blocks {
    overlay: Arc<Overlay>,
    size: usize,
    count: u64,
    cached: NumberMap<u64, Cached>,
    /// How often something was to be changed.
    changes: u64,
    /// Most blocks that are kept before they go to the device.
    most: usize,
    /// A block of zeros.
    zeros: Arc<[u8]>,
}

/// Bytes of metadata that are kept where they may go to the device at any time.
const KEPT: usize = 32 << 20;
/// Blocks that are written at once.
const LONGEST_RUN: usize = 256;

impl Blocks {
    pub(crate) fn new(overlay: Arc<Overlay>, block_size: u32, count: u64) -> Self {
        Self {
            overlay,
            size: block_size as usize,
            count,
            cached: NumberMap::default(),
            changes: 0,
            most: usize::MAX,
            zeros: vec![0; block_size as usize].into(),
        }
    }

    pub(crate) fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// The filesystem has so many blocks from now on.
    pub(crate) fn set_count(&mut self, count: u64) {
        self.count = count;
    }

    /// Something is about to be changed, here or elsewhere.
    pub(crate) fn note_change(&mut self) {
        self.changes += 1;
    }

    /// How often something was about to be changed.
    pub(crate) fn noted_changes(&self) -> u64 {
        self.changes
    }

    /// From now on changes may reach the device before the commit, so that memory stays
    /// small however many there are: for a filesystem that nobody depends on yet.
    pub(crate) fn write_early(&mut self) {
        self.most = KEPT / self.size.max(1);
    }

    /// Makes room for one more block.
    fn make_room(&mut self) -> Result<()> {
        if self.cached.len() < self.most {
            return Ok(());
        }
        self.write_cached(None).map(|_| ())
    }

    /// Writes every change but that of one block to the device; gives their number. Nothing is
    /// kept in memory then.
    pub(crate) fn write_out(&mut self, but: u64) -> Result<u64> {
        // What the overlay was given is written from there.
        let mut written = self.write_cached(Some(but))?;
        for (block, bytes) in self.overlay.changed() {
            if block != but {
                self.overlay.below().write_at(block * self.size as u64, &bytes)?;
                written += 1;
            }
        }
        self.overlay.discard();
        Ok(written)
    }

    fn write_cached(&mut self, but: Option<u64>) -> Result<u64> {
        let size = self.size as u64;
        let mut cached: Vec<_> = self.cached.drain().collect();
        cached.sort_unstable_by_key(|(block, _)| *block);
        for (block, cached) in &mut cached {
            cached.changed &= Some(*block) != but;
            cached.finish();
        }
        let mut written = 0;
        for run in
            cached.chunk_by(|(a, left), (b, right)| a + 1 == *b && left.changed == right.changed)
        {
            let Some((first, _)) = run.first().filter(|(_, cached)| cached.changed) else {
                continue;
            };
            // What the overlay holds hides the device.
            if run.iter().any(|(block, _)| self.overlay.is_changed(*block)) {
                for (block, cached) in run {
                    self.overlay.put(*block, Arc::clone(&cached.bytes))?;
                }
                continue;
            }
            for (first, piece) in (*first..).step_by(LONGEST_RUN).zip(run.chunks(LONGEST_RUN)) {
                written += piece.len() as u64;
                let mut pieces: Vec<_> =
                    piece.iter().map(|(_, one)| IoSlice::new(&one.bytes)).collect();
                self.overlay.below().write_vectored_at(first * size, &mut pieces)?;
            }
        }
        Ok(written)
    }

    fn load(&mut self, block: u64) -> Result<&mut Cached> {
        if !self.cached.contains_key(&block) {
            if block >= self.count {
                return Err(Error::Corrupt {
                    what: format!("block {block} lies outside the filesystem"),
                });
            }
            self.make_room()?;
            let bytes = self.overlay.read_shared(block * self.size as u64, self.size)?;
            let new = Cached { bytes, changed: false, summed: false, tail: None };
            self.cached.insert(block, new);
        }
        self.cached.get_mut(&block).ok_or_else(|| Error::Corrupt {
            what: format!("block {block} is not where it was put"),
        })
    }

    /// The block as it is now.
    pub(crate) fn read(&mut self, block: u64) -> Result<&[u8]> {
        self.load(block).map(|cached| &*cached.bytes)
    }

    /// As [`Blocks::read`]; later changes are not seen.
    pub(crate) fn share(&mut self, block: u64) -> Result<Arc<[u8]>> {
        self.load(block).map(|cached| Arc::clone(&cached.bytes))
    }

    /// The block, to be changed in place.
    pub(crate) fn edit(&mut self, block: u64) -> Result<&mut [u8]> {
        self.note_change();
        self.load(block).map(|cached| {
            cached.changed = true;
            Arc::make_mut(&mut cached.bytes)
        })
    }

    fn leaf(&mut self, block: u64, seed: Option<u32>) -> Result<&mut Cached> {
        let cached = self.load(block)?;
        if let Some(seed) = seed.filter(|_| !cached.summed) {
            check_tail(&cached.bytes, seed)?;
            cached.summed = true;
        }
        Ok(cached)
    }

    /// A block of directory entries. Its checksum, where there are some, is looked at once.
    pub(crate) fn read_leaf(&mut self, block: u64, seed: Option<u32>) -> Result<&[u8]> {
        self.leaf(block, seed).map(|cached| &*cached.bytes)
    }

    /// A block of directory entries, to be changed in place but for the fake entry of its
    /// checksum, which is made when the block is handed on.
    pub(crate) fn edit_leaf(&mut self, block: u64, seed: Option<u32>) -> Result<&mut [u8]> {
        self.note_change();
        self.leaf(block, seed).map(|cached| {
            cached.changed = true;
            cached.tail = seed;
            Arc::make_mut(&mut cached.bytes)
        })
    }

    /// A block of zeros in the place of whatever was there, not read before.
    pub(crate) fn fresh(&mut self, block: u64) -> Result<&mut [u8]> {
        self.insert(block, Arc::clone(&self.zeros))?;
        self.edit(block)
    }

    /// A whole block in the place of whatever was there.
    pub(crate) fn insert(&mut self, block: u64, bytes: Arc<[u8]>) -> Result<()> {
        self.note_change();
        if !self.cached.contains_key(&block) {
            self.make_room()?;
        }
        let cached = Cached { bytes, changed: true, summed: true, tail: None };
        self.cached.insert(block, cached);
        Ok(())
    }

    /// Whole blocks from `first` on, in the place of whatever was there.
    pub(crate) fn put(&mut self, first: u64, bytes: &[u8]) -> Result<()> {
        for (block, bytes) in (first..).zip(bytes.chunks_exact(self.size)) {
            self.insert(block, bytes.into())?;
        }
        Ok(())
    }

    /// Drops blocks that were freed: what they hold must not be written any more, since
    /// they may be given out again for content that does not pass through here.
    pub(crate) fn forget(&mut self, blocks: Range<u64>) {
        if blocks.end.saturating_sub(blocks.start) > self.cached.len() as u64 {
            self.cached.retain(|block, _| !blocks.contains(block));
        } else {
            for block in blocks.clone() {
                self.cached.remove(&block);
            }
        }
        self.overlay.forget(blocks);
    }

    /// Hands every change to the overlay.
    pub(crate) fn sync(&mut self) -> Result<()> {
        for (block, cached) in &mut self.cached {
            if std::mem::take(&mut cached.changed) {
                self.overlay.put(*block, Arc::clone(cached.finish()))?;
            }
        }
        Ok(())
    }
}
