//! The content of files: blocks that are all zero become holes, the rest is
//! written in runs as long as free space allows.

use super::file_map::FileMap;
use super::incoming::{CHUNK, Incoming};
use super::volume::Volume;
use crate::ingest::Content;
use crate::layout::features::{Incompat, RoCompat};
use crate::{Disk, Error, Result};

impl Volume {
    /// Refuses a file that is longer than the filesystem can have, before anything is changed.
    pub(crate) fn check_length(&self, len: u64) -> Result<()> {
        let block_size = u64::from(self.geometry.block_size);
        let mut blocks = u64::from(u32::MAX);
        if !self.has_ro_compat(RoCompat::HUGE_FILE) {
            // What a file has is counted in 512 bytes, with 32 bits.
            blocks /= block_size / 512;
        }
        if !self.has_incompat(Incompat::EXTENTS) {
            let per_block = block_size / 4;
            let pointers = 3 + 2 * per_block + per_block * per_block;
            let reached = 12 + per_block + per_block.pow(2) + per_block.pow(3);
            blocks = blocks.saturating_sub(pointers).min(reached);
        }
        let limit = blocks * block_size;
        if len > limit {
            return Err(Error::TooLarge { what: format!("a file of {len} bytes"), limit });
        }
        Ok(())
    }

    /// Writes `len` bytes of content into new blocks; `group` is the inode's.
    ///
    /// # Errors
    /// [`Error::Source`] when the content is shorter, [`Error::NoSpace`].
    pub(crate) fn write_content(
        &mut self,
        content: &mut dyn Content,
        len: u64,
        group: u32,
    ) -> Result<FileMap> {
        // What is in it belongs to other files.
        let mut incoming = std::mem::take(&mut self.incoming);
        let written = self.take_in(&mut incoming, content, len, group);
        self.incoming = incoming;
        written
    }

    fn take_in(
        &mut self,
        incoming: &mut Incoming,
        content: &mut dyn Content,
        len: u64,
        group: u32,
    ) -> Result<FileMap> {
        let block_size = u64::from(self.geometry.block_size);
        let mut map = FileMap::default();
        let mut reader = HoleReader { content, hole: 0 };
        let mut at = 0;
        while at < len {
            // Whole blocks of a known hole are not even filled in.
            at += reader.skip_whole(block_size, len - at)?;
            let left = usize::try_from(len - at).map_or(CHUNK, |left| left.min(CHUNK));
            let whole = left.next_multiple_of(block_size as usize);
            let room = incoming.room(whole, self.direct, &*self.below)?;
            let (bytes, padding) = room.split_at_mut(left);
            reader.fill(bytes)?;
            padding.fill(0);
            self.place_content(&mut map, at / block_size, incoming, whole, group)?;
            at += left as u64;
        }
        Ok(map)
    }

    /// Gives `len` bytes that came in, whole blocks, their places.
    fn place_content(
        &mut self,
        map: &mut FileMap,
        first: u64,
        incoming: &mut Incoming,
        len: usize,
        group: u32,
    ) -> Result<()> {
        let size = self.geometry.block_size as usize;
        let mut rest = incoming.came(len);
        let mut logical = u32::try_from(first).unwrap_or(u32::MAX);
        while !rest.is_empty() {
            let blocks = || incoming.bytes(rest.clone()).chunks(size);
            let hole = blocks().take_while(|block| is_zero(block)).count();
            if hole > 0 {
                rest.start += hole * size;
                logical += hole as u32;
                continue;
            }
            let data = blocks().take_while(|block| !is_zero(block)).count();
            let goal = match map.end() {
                Some((_, goal)) => goal,
                None => self.goal(group),
            };
            let run = self.allocate_run(goal, data as u32)?;
            let blocks = (run.end - run.start) as usize;
            let bytes = rest.start..rest.start + blocks * size;
            let offset = self.geometry.offset(run.start);
            if self.direct {
                incoming.send(bytes, offset, &*self.below)?;
            } else {
                self.blocks.overlay().write_at(offset, incoming.bytes(bytes))?;
            }
            rest.start += blocks * size;
            self.set_goal(group, run.end);
            map.append(logical, run);
            logical += blocks as u32;
        }
        Ok(())
    }
}

/// True when all bytes are zero, 64 of them looked at together.
fn is_zero(block: &[u8]) -> bool {
    let (pieces, rest) = block.as_chunks::<64>();
    pieces.iter().all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// Content with what is known of its next hole.
struct HoleReader<'a> {
    content: &'a mut dyn Content,
    /// Zero bytes from here on that the content has passed already.
    hole: u64,
}

impl HoleReader<'_> {
    /// Passes whole blocks of a hole that begins here, at most `left` bytes.
    fn skip_whole(&mut self, block_size: u64, left: u64) -> Result<u64> {
        if self.hole == 0 {
            self.hole = self.content.skip_hole()?;
        }
        let hole = self.hole.min(left);
        let skipped = if hole == left { hole } else { hole - hole % block_size };
        self.hole -= skipped;
        Ok(skipped)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            if self.hole == 0 {
                self.hole = self.content.skip_hole()?;
            }
            let filled = if self.hole > 0 {
                let zeros =
                    usize::try_from(self.hole).map_or(buffer.len(), |h| h.min(buffer.len()));
                buffer.get_mut(..zeros).unwrap_or_default().fill(0);
                self.hole -= zeros as u64;
                zeros
            } else {
                self.content.read(buffer)?
            };
            if filled == 0 {
                return Err(Error::Source {
                    what: "a file that ends before the length it was given with".to_owned(),
                    source: None,
                });
            }
            buffer = buffer.get_mut(filled..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_seen_wherever_it_ends() {
        for len in [0, 1, 63, 64, 65, 4096] {
            let mut block = vec![0; len];
            assert!(is_zero(&block), "{len}");
            if let Some(last) = block.last_mut() {
                *last = 1;
                assert!(!is_zero(&block), "{len}");
            }
        }
    }
}
