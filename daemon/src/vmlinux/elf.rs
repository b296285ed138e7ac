//! Whether an ELF file is a kernel that a VMM can load.

use std::io::{Read, Seek, SeekFrom};

use super::error::KernelError;

/// Most segments that are looked at. Kernels have five.
const SEGMENTS: u16 = 64;
/// Kernels are loaded from here up: below is the first MiB of a PC.
const LOWEST: u64 = 1 << 20;
/// They end below this: what a guest has of memory begins at zero.
const HIGHEST: u64 = 4 << 30;
/// Bytes of the header, and of what describes a segment.
const HEADER: usize = 64;
const SEGMENT: usize = 56;

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..at + N).and_then(|field| field.try_into().ok());
    found.unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

/// Refuses what is no 64-bit kernel for x86, or says of itself what `length` bytes cannot hold.
pub(super) fn check(file: &mut (impl Read + Seek), length: u64) -> Result<(), KernelError> {
    let refuse = KernelError::Load;
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Err(refuse("it is too short"));
    }
    file.seek(SeekFrom::Start(0)).map_err(KernelError::Read)?;
    file.read_exact(&mut header).map_err(KernelError::Read)?;
    // 64 bits, little-endian; an executable or one that can be moved; for x86-64.
    if !header.starts_with(b"\x7fELF\x02\x01") || !matches!(u16_at(&header, 16), 2 | 3) {
        return Err(refuse("it is no ELF file of 64 bits"));
    }
    if u16_at(&header, 18) != 62 {
        return Err(refuse("it is for another processor"));
    }
    let (entry, table) = (u64_at(&header, 24), u64_at(&header, 32));
    let (size, count) = (u16_at(&header, 54), u16_at(&header, 56));
    if usize::from(size) != SEGMENT || count == 0 || count > SEGMENTS || table < HEADER as u64 {
        return Err(refuse("its segments are not described as a kernel's"));
    }
    let bytes = SEGMENT * usize::from(count);
    if table.checked_add(bytes as u64).is_none_or(|end| end > length) {
        return Err(refuse("its segments are described behind its end"));
    }
    let mut segments = vec![0; bytes];
    file.seek(SeekFrom::Start(table)).map_err(KernelError::Read)?;
    file.read_exact(&mut segments).map_err(KernelError::Read)?;
    let mut holds_entry = false;
    for segment in segments.chunks_exact(SEGMENT) {
        let is_loaded = field::<4>(segment, 0) == 1_u32.to_le_bytes();
        if !is_loaded {
            continue;
        }
        let (offset, address) = (u64_at(segment, 8), u64_at(segment, 24));
        let (in_file, in_memory) = (u64_at(segment, 32), u64_at(segment, 40));
        if in_file > in_memory || offset.checked_add(in_file).is_none_or(|end| end > length) {
            return Err(refuse("a segment is not in it"));
        }
        let end = address.checked_add(in_memory).filter(|end| *end <= HIGHEST);
        let Some(end) = end.filter(|_| address >= LOWEST) else {
            return Err(refuse("a segment belongs where a guest has no memory for it"));
        };
        holds_entry |= (address..end).contains(&entry);
    }
    if !holds_entry {
        return Err(refuse("it does not begin in one of its segments"));
    }
    Ok(())
}
