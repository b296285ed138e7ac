//! The checksums of ext4 metadata: crc32c everywhere, crc16 for old group descriptors.

/// crc32c as the kernel computes it: `seed` in, no inversion at either end.
#[must_use]
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// crc16 (polynomial 0xA001, reflected) as `uninit_bg` uses it.
#[must_use]
pub fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 }
            },
        )
    })
}

/// How group descriptors are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupChecksum {
    /// Not at all.
    None,
    /// crc16 over the uuid, the number and the descriptor (`uninit_bg`).
    Crc16([u8; 16]),
    /// The low half of crc32c (`metadata_csum`).
    Crc32c,
}

/// Which checksums a filesystem carries, and the seed they begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksums {
    /// crc32c of the uuid, or `s_checksum_seed`; meaningless without `metadata`.
    pub seed: u32,
    /// `metadata_csum` is on: every metadata block is protected.
    pub metadata: bool,
    /// What protects group descriptors.
    pub group: GroupChecksum,
}

impl Checksums {
    /// The seed of one inode's checksums: its number and generation mixed in.
    #[must_use]
    pub fn inode_seed(&self, ino: u32, generation: u32) -> u32 {
        let both = u64::from(generation) << 32 | u64::from(ino);
        crc32c(self.seed, &both.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_agree_with_published_check_values() {
        // The check value of CRC-32C inverts at both ends, the kernel's does not.
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        // CRC-16/MODBUS, which is this polynomial and this start.
        assert_eq!(crc16(!0, b"123456789"), 0x4b37);
    }
}
