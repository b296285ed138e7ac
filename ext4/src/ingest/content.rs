//! The bytes of a file on their way in, holes known as such.

use crate::{Error, Result};

/// Bytes in order, from a file, a stream, or another image.
pub trait Content {
    /// Fills `buffer` from the start and says how much; 0 only at the end.
    ///
    /// # Errors
    /// [`Error::Source`] or [`Error::Io`] when the bytes cannot be had.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// How many bytes from here on are known to be zero without being read; they
    /// are skipped. 0 where data follows, or where nobody knows.
    ///
    /// # Errors
    /// As [`Content::read`].
    fn skip_hole(&mut self) -> Result<u64> {
        Ok(0)
    }
}

/// Any reader as content without known holes.
pub struct Stream<'a> {
    reader: &'a mut dyn std::io::Read,
}

impl<'a> Stream<'a> {
    /// Takes a reader; what it gives is the content.
    pub fn new(reader: &'a mut dyn std::io::Read) -> Self {
        Self { reader }
    }
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

impl Content for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(read) => return Ok(read),
                Err(error) => {
                    return Err(Error::Source {
                        what: "the content of a file".to_owned(),
                        source: Some(error),
                    });
                }
            }
        }
    }
}
