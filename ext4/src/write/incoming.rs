//! Content on its way to the device: read into a buffer, and written from where it lies there.

use std::ops::Range;

use crate::{Disk, Result};

/// Bytes that are read, sorted into data and holes, and written at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Most bytes of one write, which ends at a multiple of it. A page cache takes as large a piece of
/// memory for each, and up to here the processor has such at hand: larger ones are looked for, and
/// in a virtual machine whose free memory is the host's they are those that the host must find first.
const PIECE: u64 = 32 << 10;

/// First what has a place and waits to be written, then what is being read. Small files lie one
/// behind the other: one write takes many of them.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Never shorter than it was; what is not in use means nothing.
    buffer: Vec<u8>,
    /// Bytes at its front that have a place.
    ready: usize,
    /// Where they go.
    offset: u64,
}

impl Incoming {
    /// Room for `len` bytes behind what waits, at most [`CHUNK`]. What waits is written where there
    /// would be too little; `large` when many may come.
    pub(super) fn room(&mut self, len: usize, large: bool, disk: &dyn Disk) -> Result<&mut [u8]> {
        // What has a place goes as soon as it is a whole piece: the rest of the buffer is memory that
        // small files never touch.
        if self.ready + len > PIECE as usize {
            self.flush_whole(disk)?;
        }
        if self.ready + len > CHUNK {
            self.flush(disk)?;
        }
        let end = self.ready + len;
        if large && self.buffer.is_empty() {
            // As it is filled it is not copied: what is not takes no memory.
            self.buffer.reserve_exact(CHUNK.max(end));
        }
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        Ok(self.buffer.get_mut(self.ready..end).unwrap_or_default())
    }

    /// Where the `len` bytes are for which there was room.
    pub(super) fn came(&self, len: usize) -> Range<usize> {
        self.ready..self.ready + len
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Bytes that came have a place; those before them that came do not wait any more.
    pub(super) fn send(&mut self, bytes: Range<usize>, offset: u64, disk: &dyn Disk) -> Result<()> {
        if self.offset + self.ready as u64 != offset {
            self.flush(disk)?;
        }
        if self.ready == 0 {
            self.offset = offset;
        }
        let len = bytes.len();
        if bytes.start != self.ready {
            self.buffer.copy_within(bytes, self.ready);
        }
        self.ready += len;
        Ok(())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self, disk: &dyn Disk) -> Result<()> {
        let ready = std::mem::take(&mut self.ready);
        let mut done = 0;
        while done < ready {
            let offset = self.offset + done as u64;
            let piece = (PIECE - offset % PIECE) as usize;
            let end = (done + piece).min(ready);
            disk.write_at(offset, self.bytes(done..end))?;
            done = end;
        }
        Ok(())
    }

    /// Writes what waits up to where the last piece begins that is not whole, which then waits in front.
    fn flush_whole(&mut self, disk: &dyn Disk) -> Result<()> {
        let rest = ((self.offset + self.ready as u64) % PIECE) as usize;
        let Some(whole) = self.ready.checked_sub(rest).filter(|whole| *whole > 0) else {
            return Ok(());
        };
        let all = self.ready;
        self.ready = whole;
        self.flush(disk)?;
        self.buffer.copy_within(whole..all, 0);
        self.offset += whole as u64;
        self.ready = rest;
        Ok(())
    }

    /// Writes what waits if some of it goes to these bytes of the device.
    pub(super) fn flush_within(&mut self, bytes: Range<u64>, disk: &dyn Disk) -> Result<()> {
        let end = self.offset + self.ready as u64;
        if bytes.start < end && self.offset < bytes.end { self.flush(disk) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    fn came(incoming: &mut Incoming, byte: u8, len: usize, disk: &dyn Disk) -> Range<usize> {
        incoming.room(len, true, disk).unwrap().fill(byte);
        incoming.came(len)
    }

    #[test]
    fn what_comes_arrives_where_it_was_sent_and_neighbours_together() {
        let disk = MemoryDisk::new(4 * CHUNK);
        let mut incoming = Incoming::default();
        let mut expected = vec![0; 4 * CHUNK];
        let mut send = |incoming: &mut Incoming, bytes: Range<usize>, to: usize| {
            expected[to..to + bytes.len()].copy_from_slice(incoming.bytes(bytes.clone()));
            incoming.send(bytes, to as u64, &disk).unwrap();
        };
        let one = came(&mut incoming, 1, 100, &disk);
        send(&mut incoming, one, 50);
        let two = came(&mut incoming, 2, 60, &disk);
        // A hole between them, then elsewhere, then with a hole in the same place.
        send(&mut incoming, two.start + 20..two.end, 150);
        let three = came(&mut incoming, 3, 90, &disk);
        send(&mut incoming, three.start..three.start + 10, 1000);
        send(&mut incoming, three.start + 10..three.start + 50, 3000);
        send(&mut incoming, three.start + 70..three.end, 3040);
        let most = came(&mut incoming, 4, CHUNK, &disk);
        send(&mut incoming, most, 2 * CHUNK);
        incoming.flush_within(0..2 * CHUNK as u64, &disk).unwrap();
        assert_eq!(incoming.ready, CHUNK, "it goes elsewhere");
        incoming.flush_within(3 * CHUNK as u64 - 1..u64::MAX, &disk).unwrap();
        assert_eq!(incoming.ready, 0);
        assert!(disk.into_bytes() == expected);
    }
}
