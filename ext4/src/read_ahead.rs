//! A disk that reads ahead where it is read in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, Result};

/// Bytes of a first read, and what reads begin at multiples of.
const LEAST: u64 = 8 << 10;
/// Most bytes of a read ahead at first: memory that is first used costs more than a call.
const SOME: u64 = 16 << 10;
/// Most bytes of a read ahead once [`MANY`] were read.
const MOST: u64 = 32 << 10;
/// Bytes that all reads ahead together take until it pays to touch more memory.
const MANY: u64 = 256 << 10;
/// Places that are read in order at the same time: an inode table, directories, contents.
const WINDOWS: usize = 4;

/// Reads of a few hundred bytes that follow one another become reads of up to 32 KiB. For
/// filesystems that nobody changes meanwhile, read in the order in which they were filled,
/// such as a seed; takes at most 128 KiB of memory.
pub struct ReadAhead {
    below: Arc<dyn Disk>,
    /// The one that was used last comes first.
    windows: Mutex<Vec<Window>>,
    /// Bytes that were read ahead so far.
    read: AtomicU64,
}

#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `offset` on, as many as asked for.
    fn part(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }

    /// Whether a read at `offset` goes on where this ends.
    fn leads_to(&self, offset: u64) -> bool {
        !self.bytes.is_empty() && offset >= self.start && offset <= self.end() + LEAST
    }
}

impl std::fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadAhead").finish_non_exhaustive()
    }
}

impl ReadAhead {
    /// Reads `below` ahead.
    #[must_use]
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, windows: Mutex::default(), read: AtomicU64::new(0) }
    }

    fn windows(&self) -> MutexGuard<'_, Vec<Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for ReadAhead {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len() as u64;
        let rest = self.below.len().saturating_sub(offset);
        let mut windows = self.windows();
        let known = windows.iter().position(|window| window.part(offset, buffer.len()).is_some());
        if let Some(known) = known {
            // Brings it to the front.
            windows.get_mut(..=known).into_iter().for_each(|windows| windows.rotate_right(1));
        } else if length == 0 || length > LEAST.min(rest) {
            // What is long is not read ahead of, and comes from what was where that has all of it.
            return self.below.read_at(offset, buffer);
        } else {
            let before = windows.iter().position(|window| window.leads_to(offset));
            let mut window = match before {
                Some(before) => windows.remove(before),
                None if windows.len() < WINDOWS => Window::default(),
                None => windows.pop().unwrap_or_default(),
            };
            let ahead = match before {
                Some(_) => {
                    let many = self.read.load(Ordering::Relaxed) >= MANY;
                    (window.bytes.len() as u64 * 2).min(if many { MOST } else { SOME })
                }
                None => LEAST,
            };
            let start = offset / LEAST * LEAST;
            let end = (start + ahead).max(offset + length).min(self.below.len());
            window.start = start;
            let length = (end - start) as usize;
            if window.bytes.capacity() < length {
                // What was in it is not needed any more: not copied, and its memory can be had again.
                window.bytes = Vec::new();
                window.bytes.reserve_exact(length);
            }
            window.bytes.resize(length, 0);
            self.read.fetch_add(length as u64, Ordering::Relaxed);
            // What lies beside what is wanted may be what cannot be read.
            if self.below.read_at(start, &mut window.bytes).is_err() {
                return self.below.read_at(offset, buffer);
            }
            windows.insert(0, window);
        }
        let first = windows.first().and_then(|window| window.part(offset, buffer.len()));
        match first {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => self.below.read_at(offset, buffer),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        // What was read ahead may have changed.
        self.windows().clear();
        self.below.write_at(offset, data)
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

    /// Counts reads.
    struct Counting(MemoryDisk, AtomicU64);

    impl Disk for Counting {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read_at(offset, buffer)
        }

        fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
            self.0.write_at(offset, data)
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }

        fn len(&self) -> u64 {
            self.0.len()
        }
    }

    fn disk(len: usize) -> (Arc<Counting>, ReadAhead) {
        let bytes: Vec<u8> = (0..len).map(|at| (at / 7 % 251) as u8).collect();
        let counting = Arc::new(Counting(MemoryDisk::from(bytes), AtomicU64::new(0)));
        (Arc::clone(&counting), ReadAhead::new(counting))
    }

    #[test]
    fn every_byte_is_the_disks_wherever_it_is_read() {
        let (below, ahead) = disk(1_000_003);
        let mut place = 1_u64;
        for _ in 0..3000 {
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            // Here and there in order, and up to the very end.
            let offset =
                if place.is_multiple_of(3) { place >> 44 } else { (place >> 33) % 1_000_003 };
            let length = ((place >> 20) % 9000).min(1_000_003 - offset.min(1_000_003)) as usize;
            let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
            let same = ahead.read_at(offset, &mut ours).is_ok();
            assert_eq!(same, below.read_at(offset, &mut theirs).is_ok());
            assert!(ours == theirs, "{length} at {offset}");
        }
        assert!(ahead.read_at(1_000_000, &mut [0; 4]).is_err(), "beyond the end");
        ahead.write_at(500, b"new").unwrap();
        let mut bytes = [0; 3];
        ahead.read_at(500, &mut bytes).unwrap();
        assert_eq!(&bytes, b"new");
    }

    /// Ends where it cannot be read.
    struct Failing(MemoryDisk, u64);

    impl Disk for Failing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
            let end = offset + buffer.len() as u64;
            let offset = if end > self.1 { u64::MAX } else { offset };
            self.0.read_at(offset, buffer)
        }

        fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
            self.0.write_at(offset, data)
        }

        fn flush(&self) -> Result<()> {
            Ok(())
        }

        fn len(&self) -> u64 {
            self.0.len()
        }
    }

    #[test]
    fn what_cannot_be_read_fails_nothing_beside_it() {
        let ahead = ReadAhead::new(Arc::new(Failing(MemoryDisk::from(vec![5; 40_000]), 20_000)));
        let mut bytes = [0; 100];
        for offset in (0..=19_900).step_by(100) {
            ahead.read_at(offset, &mut bytes).unwrap();
            assert_eq!(std::mem::take(&mut bytes[99]), 5);
        }
        assert!(ahead.read_at(19_901, &mut bytes).is_err());
    }

    #[test]
    fn what_is_read_in_order_takes_few_reads_even_in_turns() {
        let (below, ahead) = disk(4 << 20);
        for n in 0..4000_u64 {
            for place in [0, 2 << 20] {
                ahead.read_at(place + n * 256, &mut [0; 256]).unwrap();
            }
        }
        // The first 256 KiB in pieces of 16, then in pieces of 32.
        assert!(below.1.load(Ordering::Relaxed) <= 76, "{:?}", below.1);
    }
}
