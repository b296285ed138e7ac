//! The device as the engine's disk; past the page cache where its descriptor says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use banger_ext4::{Disk, Error, FileDisk, Result};
use rustix::fs::OFlags;

/// What a direct read begins and ends at multiples of; no device has larger sectors.
const BLOCK: usize = 4096;
/// Blocks that are kept: what is looked at is looked at often, and nobody changes it.
const MOST_KEPT: usize = 4096;

/// A block device or image file.
#[derive(Debug)]
pub(super) enum DeviceDisk {
    /// By way of the page cache.
    Cached(FileDisk),
    /// From the device itself: opened with `O_DIRECT`, for reading alone.
    Direct(Direct),
}

impl DeviceDisk {
    /// # Errors
    /// What the operating system says of the descriptor.
    pub(super) fn new(file: File) -> Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| io("open", 0, error.into()))?;
        let disk = FileDisk::new(file)?;
        if !flags.contains(OFlags::DIRECT) {
            return Ok(Self::Cached(disk));
        }
        let len = disk.len();
        Ok(Self::Direct(Direct { file: disk.into_inner(), len, kept: Mutex::default() }))
    }
}

/// Reads whole blocks from the device, each once.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    len: u64,
    kept: Mutex<BTreeMap<u64, Box<[u8]>>>,
}

fn io(action: &'static str, offset: u64, source: std::io::Error) -> Error {
    Error::Io { action, offset, source }
}

impl Direct {
    /// One block, shorter at the device's end.
    fn block(&self, number: u64) -> Result<Box<[u8]>> {
        let offset = number * BLOCK as u64;
        let wanted = self.len.saturating_sub(offset).min(BLOCK as u64) as usize;
        // Memory that begins at a multiple is part of twice as much.
        let mut space = vec![0; 2 * BLOCK];
        let skip = space.as_ptr().align_offset(BLOCK).min(BLOCK);
        let aligned = space.get_mut(skip..skip + BLOCK).unwrap_or_default();
        let mut have = 0;
        while have < wanted {
            let rest = aligned.get_mut(have..).unwrap_or_default();
            match self.file.read_at(rest, offset + have as u64) {
                Ok(0) => return Err(io("read", offset, std::io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => have += len,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io("read", offset, error)),
            }
        }
        Ok(aligned.get(..wanted).unwrap_or_default().into())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io("read", offset, std::io::ErrorKind::UnexpectedEof.into()));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let (number, within) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            if kept.len() >= MOST_KEPT && !kept.contains_key(&number) {
                kept.clear();
            }
            let block = match kept.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.block(number)?)
                }
            };
            let from = block.get(within..).unwrap_or_default();
            let (now, later) = rest.split_at_mut(from.len().min(rest.len()));
            now.copy_from_slice(from.get(..now.len()).unwrap_or_default());
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }
}

impl Disk for DeviceDisk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self {
            Self::Cached(disk) => disk.read_at(offset, buffer),
            Self::Direct(disk) => disk.read(offset, buffer),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        match self {
            Self::Cached(disk) => disk.write_at(offset, data),
            Self::Direct(_) => {
                Err(io("write", offset, std::io::ErrorKind::ReadOnlyFilesystem.into()))
            }
        }
    }

    fn flush(&self) -> Result<()> {
        match self {
            Self::Cached(disk) => disk.flush(),
            Self::Direct(_) => Ok(()),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Cached(disk) => disk.len(),
            Self::Direct(disk) => disk.len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn whole_blocks_give_every_byte_up_to_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..BLOCK * 5 + 512).map(|at| (at / 3 % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let len = bytes.len() as u64;
        let disk = DeviceDisk::Direct(Direct { file, len, kept: Mutex::default() });
        for (offset, len) in [(0, 1), (1, BLOCK), (4095, 2), (300, BLOCK * 4), (BLOCK * 5, 512)] {
            let mut read = vec![0; len];
            disk.read_at(offset as u64, &mut read).unwrap();
            assert_eq!(read, bytes[offset..offset + len]);
        }
        assert!(disk.read_at(len - 1, &mut [0; 2]).is_err());
        assert!(disk.read_at(u64::MAX, &mut [0; 2]).is_err());
        assert!(disk.write_at(0, &[1]).is_err());
    }
}
