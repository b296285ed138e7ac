//! The hashes of extended attributes: over one entry, over a block.

/// The hash of an entry: its name without the prefix, then its value in words.
#[must_use]
pub fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let name =
        name.iter().fold(0u32, |hash, character| hash.rotate_left(5) ^ u32::from(*character));
    value.chunks(4).fold(name, |hash, bytes| {
        let word = bytes.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        hash.rotate_left(16) ^ word
    })
}

/// The hash of a block from its entries' hashes; any zero makes it zero, which
/// says that the block must not be shared.
#[must_use]
pub fn block_hash(entries: impl IntoIterator<Item = u32>) -> u32 {
    let mut all = 0u32;
    for entry in entries {
        if entry == 0 {
            return 0;
        }
        all = all.rotate_left(16) ^ entry;
    }
    all
}
