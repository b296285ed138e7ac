//! The ways in which kernels and their modules are packed.

use std::fmt;
use std::io::{self, BufRead, Read};

/// Largest window that is remembered of what was unpacked, in bytes. Kernels are packed with
/// 128 MiB.
const WINDOW: u32 = 256 << 20;
/// What a block of LZ4's older form unpacks to at most, in bytes.
const BLOCK: usize = 8 << 20;
/// What LZ4's older form begins with.
const LEGACY: u32 = 0x184c_2102;

/// How a kernel, or a module of one, is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Xz,
    Zstd,
    Lz4,
    Bzip2,
    Lzma,
}

impl Format {
    /// Recognises a format by how it begins.
    pub(crate) fn of(begin: &[u8]) -> Option<Self> {
        let formats: [(&[u8], Self); 6] = [
            (b"\x1f\x8b\x08", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (&LEGACY.to_le_bytes(), Self::Lz4),
            (b"BZh", Self::Bzip2),
            (b"\x5d\0\0", Self::Lzma),
        ];
        formats.iter().find(|(magic, _)| begin.starts_with(magic)).map(|(_, format)| *format)
    }

    /// What is packed in `data`.
    pub(crate) fn unpack<'a>(self, data: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let kib = WINDOW >> 10;
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(data)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(data, false, kib)),
            Self::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(data, kib, None)?),
            Self::Zstd => Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(data, WINDOW.into())
                    .map_err(io::Error::other)?,
            ),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(data)),
            Self::Lz4 => Box::new(Lz4Legacy::new(data)?),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
        })
    }
}

/// LZ4's older form, which kernels are packed in: blocks, each behind its length, to the end.
struct Lz4Legacy<R> {
    data: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// What of the block was taken, and where it ends.
    taken: usize,
    end: usize,
}

impl<R: BufRead> Lz4Legacy<R> {
    fn new(mut data: R) -> io::Result<Self> {
        if read_u32(&mut data)? != LEGACY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { data, packed: Vec::new(), block: vec![0; BLOCK], taken: 0, end: 0 })
    }

    fn next_block(&mut self) -> io::Result<()> {
        (self.taken, self.end) = (0, 0);
        if self.data.fill_buf()?.is_empty() {
            return Ok(());
        }
        let length = read_u32(&mut self.data)? as usize;
        // One that does not become smaller takes a byte more for each 255.
        if length == 0 || length > BLOCK + BLOCK / 255 + 16 {
            return Err(invalid("a block has an impossible length"));
        }
        self.packed.resize(length, 0);
        self.data.read_exact(&mut self.packed)?;
        self.end = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|error| invalid(&error.to_string()))?;
        if self.end == 0 {
            return Err(invalid("a block is empty"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Lz4Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.end {
            self.next_block()?;
        }
        let mut rest = self.block.get(self.taken..self.end).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

fn read_u32(data: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    data.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}
