//! A reader's bytes by way of a buffer that begins with a page.

use std::io::{self, Read};

/// Bytes that are read at once.
const SIZE: usize = 128 << 10;
/// Bytes of a page of memory, on most processors.
const PAGE: usize = 4096;

/// As [`io::BufReader`], but where its buffer lies is not left to chance: from the page cache the
/// kernel copies twice as fast to the same place of a page as to one 16 bytes behind it, which is
/// where an allocator puts what is large.
pub(super) struct Paged<R> {
    below: R,
    /// From the first page in it on it is the buffer.
    memory: Vec<u8>,
    /// What was read and not handed on, as indices of the memory.
    at: usize,
    end: usize,
}

impl<R: Read> Paged<R> {
    pub(super) fn new(below: R) -> Self {
        Self { below, memory: Vec::new(), at: 0, end: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.memory.is_empty() {
            self.memory = vec![0; SIZE + PAGE];
        }
        let start = self.memory.as_ptr().align_offset(PAGE).min(PAGE);
        // Nothing is there if the reader fails.
        (self.at, self.end) = (start, start);
        let buffer = self.memory.get_mut(start..start + SIZE).unwrap_or_default();
        self.end += self.below.read(buffer)?.min(SIZE);
        Ok(())
    }
}

impl<R: Read> Read for Paged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            if buffer.len() >= SIZE {
                return self.below.read(buffer);
            }
            self.fill()?;
        }
        let mut there = self.memory.get(self.at..self.end).unwrap_or_default();
        let read = there.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives as much as it likes, and fails now and then.
    struct Moody<'a>(&'a [u8], usize);

    impl Read for Moody<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let most = (self.1 >> 33) % (3 * SIZE);
            if most.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = most.clamp(1, buffer.len().max(1)).min(buffer.len());
            self.0.read(buffer.get_mut(..most).unwrap_or_default())
        }
    }

    #[test]
    fn every_byte_comes_once_however_it_is_asked_for() {
        let bytes: Vec<u8> = (0..2_000_003_u32).map(|n| (n / 3 % 251) as u8).collect();
        for steps in [&[1][..], &[512, 10_000], &[SIZE - 1, SIZE, SIZE + 1, 7]] {
            let mut paged = Paged::new(Moody(&bytes, 1));
            let mut found = Vec::new();
            for step in steps.iter().cycle() {
                let mut buffer = vec![0; *step];
                match paged.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => found.extend_from_slice(&buffer[..read]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
                }
            }
            assert!(found == bytes, "{steps:?}");
        }
    }
}
