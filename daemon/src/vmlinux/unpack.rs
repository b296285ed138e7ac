//! From a kernel as images have it to one that a VMM loads.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use super::bzimage::{self, HEAD, Payload};
use super::elf;
use super::error::KernelError;
use super::format::Format;

/// Largest kernel that is unpacked, in bytes. Distributions' have 40 to 80 MiB.
pub(super) const MOST: u64 = 512 << 20;
/// Bytes that are unpacked at once.
const PIECE: usize = 128 << 10;

/// Writes the kernel inside `kernel` to `to`, which is empty. Returns its bytes.
pub(super) fn unpack(
    kernel: &mut (impl Read + Seek),
    to: &mut (impl Read + Write + Seek),
) -> Result<u64, KernelError> {
    let length = kernel.seek(SeekFrom::End(0)).map_err(KernelError::Read)?;
    kernel.seek(SeekFrom::Start(0)).map_err(KernelError::Read)?;
    let mut head = Vec::new();
    kernel.by_ref().take(HEAD).read_to_end(&mut head).map_err(KernelError::Read)?;
    let bytes = if head.starts_with(b"\x7fELF") {
        kernel.seek(SeekFrom::Start(0)).map_err(KernelError::Read)?;
        if length > MOST {
            return Err(KernelError::Size(length));
        }
        copy(kernel, to, length, KernelError::Read)?;
        length
    } else {
        unpack_payload(kernel, bzimage::payload(&head, length)?, to)?
    };
    elf::check(to, bytes)?;
    Ok(bytes)
}

fn unpack_payload(
    kernel: &mut (impl Read + Seek),
    payload: Payload,
    to: &mut impl Write,
) -> Result<u64, KernelError> {
    let Payload { offset, length } = payload;
    kernel.seek(SeekFrom::Start(offset)).map_err(KernelError::Read)?;
    let mut begin = Vec::new();
    kernel.by_ref().take(length.min(6)).read_to_end(&mut begin).map_err(KernelError::Read)?;
    let format = Format::of(&begin)
        .ok_or_else(|| KernelError::Unknown(format!("{:02x?}", begin.as_slice())))?;
    // Whatever packed it, the kernel's makefile puts the size behind it; gzip does so itself.
    let mut size = [0; 4];
    kernel.seek(SeekFrom::Start(offset + length - 4)).map_err(KernelError::Read)?;
    kernel.read_exact(&mut size).map_err(KernelError::Read)?;
    let size = u64::from(u32::from_le_bytes(size));
    if size > MOST {
        return Err(KernelError::Size(size));
    }
    let packed = if format == Format::Gzip { length } else { length - 4 };
    kernel.seek(SeekFrom::Start(offset)).map_err(KernelError::Read)?;
    let damaged = |source| KernelError::Damaged { format, source };
    let data = BufReader::with_capacity(PIECE, kernel.take(packed));
    let mut unpacked = format.unpack(data).map_err(damaged)?;
    copy(&mut unpacked, to, size, damaged)?;
    Ok(size)
}

/// Copies all of `from`, which must be `size` bytes.
fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    size: u64,
    failed: impl Fn(io::Error) -> KernelError,
) -> Result<(), KernelError> {
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    loop {
        let count = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        done += count as u64;
        if done > size {
            return Err(KernelError::Size(size));
        }
        to.write_all(piece.get(..count).unwrap_or_default()).map_err(KernelError::Write)?;
    }
    if done == size { Ok(()) } else { Err(KernelError::Size(size)) }
}

#[cfg(test)]
mod tests;
