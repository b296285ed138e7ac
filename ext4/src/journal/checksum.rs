//! Checksums of the journal's blocks: crc32c of versions 2 and 3, and the crc32 of version 1.

use super::superblock::{INCOMPAT_CSUM_V3, JournalSuperblock};
use super::tags::Tag;
use crate::be;
use crate::layout::checksum::crc32c;

/// Bytes of a commit block that mean something; the rest is padding.
const COMMIT_HEADER: usize = 60;
/// Where a commit block keeps its checksum.
const COMMIT_CHECKSUM: usize = 0x10;

/// The checksum in the last four bytes of a descriptor or revoke block. True
/// also for a journal without checksums.
pub(super) fn tail_is_right(sb: &JournalSuperblock, block: &[u8]) -> bool {
    block_is_right(sb, block, block.len().saturating_sub(4))
}

/// The checksum of a commit block. A block of which only the first sector was
/// written counts as right: all that it says stands there.
pub(super) fn commit_is_right(sb: &JournalSuperblock, block: &[u8]) -> bool {
    if block_is_right(sb, block, COMMIT_CHECKSUM) {
        return true;
    }
    let mut padded = block.to_vec();
    if let Some(rest) = padded.get_mut(COMMIT_HEADER..) {
        rest.fill(0);
    }
    block_is_right(sb, &padded, COMMIT_CHECKSUM)
}

fn block_is_right(sb: &JournalSuperblock, block: &[u8], at: usize) -> bool {
    if !sb.checksummed() {
        return true;
    }
    let mut zeroed = block.to_vec();
    be::put_u32(&mut zeroed, at, 0);
    be::u32_at(block, at) == Some(crc32c(sb.checksum_seed(), &zeroed))
}

/// The checksum of a block in the log, as its tag has it.
pub(super) fn data_is_right(sb: &JournalSuperblock, tag: &Tag, sequence: u32, data: &[u8]) -> bool {
    if !sb.checksummed() {
        return true;
    }
    let sum = crc32c(crc32c(sb.checksum_seed(), &sequence.to_be_bytes()), data);
    if sb.has(INCOMPAT_CSUM_V3) { tag.checksum == sum } else { tag.checksum == sum & 0xffff }
}

/// crc32 with the most significant bit first, as version 1 runs it over the
/// descriptors and data of a transaction.
pub(super) fn crc32_be(seed: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut value = (n as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                value = if value >> 31 == 1 { value << 1 ^ 0x04c1_1db7 } else { value << 1 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    bytes.iter().fold(seed, |crc, byte| {
        let index = (crc >> 24) as u8 ^ byte;
        crc << 8 ^ TABLE[usize::from(index)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_crc_agrees_with_its_check_value() {
        // CRC-32/MPEG-2: this polynomial, this order, no inversion at the end.
        assert_eq!(crc32_be(!0, b"123456789"), 0x0376_e6e7);
    }
}
