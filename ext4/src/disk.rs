//! What the engine asks of the world: bytes at an offset, and a flush.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result};

/// A device of a fixed number of bytes.
///
/// Methods take `&self`: a disk may be shared, and two writes to different
/// places do not disturb each other.
pub trait Disk: Send + Sync {
    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`] when the device fails or ends before the buffer is full.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// As [`Disk::read_at`], `len` bytes that are not changed any more: a disk that has them in
    /// memory need not copy them.
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    fn read_shared(&self, offset: u64, len: usize) -> Result<Arc<[u8]>> {
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            self.read_at(offset, bytes)?;
        }
        Ok(bytes)
    }

    /// Writes all of `data` at byte `offset`.
    ///
    /// # Errors
    /// [`Error::Io`] when the device fails or ends before all is written.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// As one [`Disk::write_at`] of all pieces, one behind the other: a disk that can write them
    /// from where they lie saves their copy. What `pieces` holds afterwards means nothing.
    ///
    /// # Errors
    /// As [`Disk::write_at`].
    fn write_vectored_at(&self, offset: u64, pieces: &mut [IoSlice<'_>]) -> Result<()> {
        match pieces {
            [only] => self.write_at(offset, only),
            pieces => {
                let len = pieces.iter().map(|piece| piece.len()).sum();
                let mut joined = Vec::with_capacity(len);
                pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                self.write_at(offset, &joined)
            }
        }
    }

    /// Returns once everything written so far would survive a power cut.
    ///
    /// # Errors
    /// [`Error::Io`] when the device fails.
    fn flush(&self) -> Result<()>;

    /// Length in bytes.
    fn len(&self) -> u64;

    /// True for a device without a single byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Most pieces that the kernel takes in one call (`UIO_MAXIOV`).
const IOV_MAX: usize = 1024;

/// A regular file or block device that is open already.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    len: u64,
}

impl FileDisk {
    /// Takes an open file; its length is asked once.
    ///
    /// # Errors
    /// [`Error::Io`] when the length cannot be found by seeking to the end,
    /// which works for files and block devices alike.
    pub fn new(mut file: File) -> Result<Self> {
        use std::io::{Seek, SeekFrom};
        let len = file.seek(SeekFrom::End(0)).map_err(|source| Error::Io {
            action: "measure",
            offset: 0,
            source,
        })?;
        Ok(Self { file, len })
    }

    /// Gives the file back.
    #[must_use]
    pub fn into_inner(self) -> File {
        self.file
    }
}

impl Disk for FileDisk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|source| Error::Io {
            action: "read",
            offset,
            source,
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.file.write_all_at(data, offset).map_err(|source| Error::Io {
            action: "write",
            offset,
            source,
        })
    }

    fn write_vectored_at(&self, offset: u64, mut pieces: &mut [IoSlice<'_>]) -> Result<()> {
        let mut at = offset;
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let some = pieces.get(..IOV_MAX).unwrap_or(pieces);
            let error = match rustix::io::pwritev(&self.file, some, at) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut pieces, written);
                    continue;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => io::Error::from(errno),
            };
            return Err(Error::Io { action: "write", offset, source: error });
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.file.sync_data().map_err(|source| Error::Io { action: "flush", offset: 0, source })
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// A device in memory, for tests and small images.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    bytes: Mutex<Vec<u8>>,
}

impl MemoryDisk {
    /// A device of `len` zero bytes.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self::from(vec![0; len])
    }

    /// The bytes it holds now.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Vec<u8>> for MemoryDisk {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Mutex::new(bytes) }
    }
}

/// The part of `0..total` that `offset` and `len` name, as indices.
fn range(
    action: &'static str,
    offset: u64,
    len: usize,
    total: usize,
) -> Result<std::ops::Range<usize>> {
    usize::try_from(offset)
        .ok()
        .and_then(|start| Some(start..start.checked_add(len)?))
        .filter(|range| range.end <= total)
        .ok_or_else(|| Error::Io {
            action,
            offset,
            source: io::Error::from(io::ErrorKind::UnexpectedEof),
        })
}

impl Disk for MemoryDisk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let range = range("read", offset, buffer.len(), bytes.len())?;
        if let Some(from) = bytes.get(range) {
            buffer.copy_from_slice(from);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let range = range("write", offset, data.len(), bytes.len())?;
        if let Some(to) = bytes.get_mut(range) {
            to.copy_from_slice(data);
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(disk: &dyn Disk) {
        disk.write_at(3, b"abc").unwrap();
        let mut back = [0; 5];
        disk.read_at(2, &mut back).unwrap();
        assert_eq!(&back, b"\0abc\0");
        assert!(disk.read_at(disk.len() - 4, &mut back).is_err());
        let mut pieces = [b"1".as_slice(), b"", b"23", b"4"].map(IoSlice::new);
        disk.write_vectored_at(4, &mut pieces).unwrap();
        disk.write_vectored_at(9, &mut [IoSlice::new(b""), IoSlice::new(b"5")]).unwrap();
        disk.write_vectored_at(10, &mut []).unwrap();
        let mut back = [0; 8];
        disk.read_at(3, &mut back).unwrap();
        assert_eq!(&back, b"a1234\x005\0");
        disk.flush().unwrap();
    }

    #[test]
    fn memory_reads_back_what_was_written_and_ends_where_it_ends() {
        let disk = MemoryDisk::new(16);
        exercise(&disk);
        assert!(disk.write_at(14, b"abc").is_err());
        assert!(disk.write_at(u64::MAX, b"a").is_err());
    }

    #[test]
    fn a_file_reads_back_what_was_written_and_ends_where_it_ends() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16).unwrap();
        exercise(&FileDisk::new(file).unwrap());
    }

    #[test]
    fn a_file_takes_more_pieces_than_one_call_does() {
        let disk = FileDisk::new(tempfile::tempfile().unwrap()).unwrap();
        let bytes: Vec<u8> = (0..3 * IOV_MAX + 1).map(|at| (at % 251) as u8).collect();
        let mut pieces: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        disk.write_vectored_at(7, &mut pieces).unwrap();
        let mut back = vec![0; bytes.len()];
        disk.read_at(7, &mut back).unwrap();
        assert_eq!(back, bytes);
        let read_only = FileDisk::new(File::open("/dev/null").unwrap()).unwrap();
        assert!(read_only.write_vectored_at(0, &mut [IoSlice::new(b"a")]).is_err());
    }
}
