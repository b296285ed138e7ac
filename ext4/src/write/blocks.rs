//! Blocks of metadata in memory, changed in place and handed to the overlay at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Disk, Error, Overlay, Result};

struct Cached {
    bytes: Vec<u8>,
    changed: bool,
}

/// What was read or changed of the metadata. The overlay sees changes after
/// [`Blocks::sync`].
pub(crate) struct Blocks {
    overlay: Arc<Overlay>,
    size: usize,
    count: u64,
    cached: HashMap<u64, Cached>,
}

impl Blocks {
    pub(crate) fn new(overlay: Arc<Overlay>, block_size: u32, count: u64) -> Self {
        Self { overlay, size: block_size as usize, count, cached: HashMap::new() }
    }

    pub(crate) fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// The filesystem has so many blocks from now on.
    pub(crate) fn set_count(&mut self, count: u64) {
        self.count = count;
    }

    fn load(&mut self, block: u64) -> Result<&mut Cached> {
        if !self.cached.contains_key(&block) {
            if block >= self.count {
                return Err(Error::Corrupt {
                    what: format!("block {block} lies outside the filesystem"),
                });
            }
            let mut bytes = vec![0; self.size];
            self.overlay.read_at(block * self.size as u64, &mut bytes)?;
            self.cached.insert(block, Cached { bytes, changed: false });
        }
        self.cached.get_mut(&block).ok_or_else(|| Error::Corrupt {
            what: format!("block {block} is not where it was put"),
        })
    }

    /// The block as it is now.
    pub(crate) fn read(&mut self, block: u64) -> Result<&[u8]> {
        self.load(block).map(|cached| cached.bytes.as_slice())
    }

    /// The block, to be changed in place.
    pub(crate) fn edit(&mut self, block: u64) -> Result<&mut [u8]> {
        self.load(block).map(|cached| {
            cached.changed = true;
            cached.bytes.as_mut_slice()
        })
    }

    /// A block of zeros in the place of whatever was there, not read before.
    pub(crate) fn fresh(&mut self, block: u64) -> Result<&mut [u8]> {
        let cached = Cached { bytes: vec![0; self.size], changed: true };
        self.cached.insert(block, cached);
        self.edit(block)
    }

    /// Drops a block that was freed: what it holds need not be written.
    pub(crate) fn forget(&mut self, block: u64) {
        self.cached.remove(&block);
    }

    /// Hands every change to the overlay.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let size = self.size as u64;
        for (block, cached) in &mut self.cached {
            if std::mem::take(&mut cached.changed) {
                self.overlay.write_at(block * size, &cached.bytes)?;
            }
        }
        Ok(())
    }
}
