//! Big-endian numbers in byte buffers: the journal's order. Never panics.

/// The 32 bits at `offset`, or `None` when the buffer ends before.
#[must_use]
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let from = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(from.try_into().ok()?))
}

/// The 16 bits at `offset`, or `None` when the buffer ends before.
#[must_use]
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let from = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_be_bytes(from.try_into().ok()?))
}

/// Writes 32 bits at `offset`; false, and nothing written, when they do not fit.
pub fn put_u32(bytes: &mut [u8], offset: usize, value: u32) -> bool {
    crate::le::put_bytes(bytes, offset, &value.to_be_bytes())
}

/// Writes 16 bits at `offset`; false, and nothing written, when they do not fit.
pub fn put_u16(bytes: &mut [u8], offset: usize, value: u16) -> bool {
    crate::le::put_bytes(bytes, offset, &value.to_be_bytes())
}
