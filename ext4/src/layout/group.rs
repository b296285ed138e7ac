//! Group descriptors: 32 bytes, or 64 with `64bit`.

use super::checksum::{Checksums, GroupChecksum, crc16, crc32c};
use crate::le::fields;
use crate::{Error, Result};

/// `bg_flags`: the inode table's used part is empty and its bitmap unwritten.
pub const INODE_UNINIT: u16 = 1;
/// `bg_flags`: the block bitmap is unwritten.
pub const BLOCK_UNINIT: u16 = 2;
/// `bg_flags`: the unused part of the inode table is zero on disk.
pub const INODE_ZEROED: u16 = 4;

/// One group's descriptor. Fields beyond 32 bytes read as zero in a short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupDescriptor {
    raw: [u8; 64],
    size: u16,
}

fields! { GroupDescriptor {
    /// 0x00: block of the block bitmap, low half.
    bg_block_bitmap_lo, set_bg_block_bitmap_lo: u32 = 0x00;
    /// 0x04: block of the inode bitmap, low half.
    bg_inode_bitmap_lo, set_bg_inode_bitmap_lo: u32 = 0x04;
    /// 0x08: first block of the inode table, low half.
    bg_inode_table_lo, set_bg_inode_table_lo: u32 = 0x08;
    /// 0x0C: free blocks, low half.
    bg_free_blocks_count_lo, set_bg_free_blocks_count_lo: u16 = 0x0c;
    /// 0x0E: free inodes, low half.
    bg_free_inodes_count_lo, set_bg_free_inodes_count_lo: u16 = 0x0e;
    /// 0x10: directories, low half.
    bg_used_dirs_count_lo, set_bg_used_dirs_count_lo: u16 = 0x10;
    /// 0x12: what is not initialised.
    bg_flags, set_bg_flags: u16 = 0x12;
    /// 0x18: checksum of the block bitmap, low half.
    bg_block_bitmap_csum_lo, set_bg_block_bitmap_csum_lo: u16 = 0x18;
    /// 0x1A: checksum of the inode bitmap, low half.
    bg_inode_bitmap_csum_lo, set_bg_inode_bitmap_csum_lo: u16 = 0x1a;
    /// 0x1C: inodes at the table's end that were never used, low half.
    bg_itable_unused_lo, set_bg_itable_unused_lo: u16 = 0x1c;
    /// 0x1E: checksum of the descriptor.
    bg_checksum, set_bg_checksum: u16 = 0x1e;
    /// 0x20: block of the block bitmap, high half.
    bg_block_bitmap_hi, set_bg_block_bitmap_hi: u32 = 0x20;
    /// 0x24: block of the inode bitmap, high half.
    bg_inode_bitmap_hi, set_bg_inode_bitmap_hi: u32 = 0x24;
    /// 0x28: first block of the inode table, high half.
    bg_inode_table_hi, set_bg_inode_table_hi: u32 = 0x28;
    /// 0x2C: free blocks, high half.
    bg_free_blocks_count_hi, set_bg_free_blocks_count_hi: u16 = 0x2c;
    /// 0x2E: free inodes, high half.
    bg_free_inodes_count_hi, set_bg_free_inodes_count_hi: u16 = 0x2e;
    /// 0x30: directories, high half.
    bg_used_dirs_count_hi, set_bg_used_dirs_count_hi: u16 = 0x30;
    /// 0x32: inodes never used, high half.
    bg_itable_unused_hi, set_bg_itable_unused_hi: u16 = 0x32;
    /// 0x38: checksum of the block bitmap, high half.
    bg_block_bitmap_csum_hi, set_bg_block_bitmap_csum_hi: u16 = 0x38;
    /// 0x3A: checksum of the inode bitmap, high half.
    bg_inode_bitmap_csum_hi, set_bg_inode_bitmap_csum_hi: u16 = 0x3a;
} }

/// A 48- or 64-bit value in two parts, the high one only in a long descriptor.
macro_rules! halves {
    ($($(#[$doc:meta])* $get:ident, $set:ident: $half:ty => $type:ty = $lo:ident, $set_lo:ident, $hi:ident, $set_hi:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $get(&self) -> $type {
            let high = if self.size >= 64 { <$type>::from(self.$hi()) } else { 0 };
            <$type>::from(self.$lo()) | high << <$half>::BITS
        }
        #[doc = concat!("Sets what `", stringify!($get), "` reads.")]
        pub fn $set(&mut self, value: $type) {
            self.$set_lo(value as $half);
            if self.size >= 64 {
                self.$set_hi((value >> <$half>::BITS) as $half);
            }
        }
    )*};
}

impl GroupDescriptor {
    halves! {
        /// Block of the block bitmap.
        block_bitmap, set_block_bitmap: u32 => u64 =
            bg_block_bitmap_lo, set_bg_block_bitmap_lo, bg_block_bitmap_hi, set_bg_block_bitmap_hi;
        /// Block of the inode bitmap.
        inode_bitmap, set_inode_bitmap: u32 => u64 =
            bg_inode_bitmap_lo, set_bg_inode_bitmap_lo, bg_inode_bitmap_hi, set_bg_inode_bitmap_hi;
        /// First block of the inode table.
        inode_table, set_inode_table: u32 => u64 =
            bg_inode_table_lo, set_bg_inode_table_lo, bg_inode_table_hi, set_bg_inode_table_hi;
        /// Free clusters.
        free_blocks_count, set_free_blocks_count: u16 => u32 = bg_free_blocks_count_lo,
            set_bg_free_blocks_count_lo, bg_free_blocks_count_hi, set_bg_free_blocks_count_hi;
        /// Free inodes.
        free_inodes_count, set_free_inodes_count: u16 => u32 = bg_free_inodes_count_lo,
            set_bg_free_inodes_count_lo, bg_free_inodes_count_hi, set_bg_free_inodes_count_hi;
        /// Directories.
        used_dirs_count, set_used_dirs_count: u16 => u32 = bg_used_dirs_count_lo,
            set_bg_used_dirs_count_lo, bg_used_dirs_count_hi, set_bg_used_dirs_count_hi;
        /// Inodes at the end of the table that were never used.
        itable_unused, set_itable_unused: u16 => u32 = bg_itable_unused_lo,
            set_bg_itable_unused_lo, bg_itable_unused_hi, set_bg_itable_unused_hi;
        /// Checksum of the block bitmap; only 16 bits in a short descriptor.
        block_bitmap_csum, set_block_bitmap_csum: u16 => u32 = bg_block_bitmap_csum_lo,
            set_bg_block_bitmap_csum_lo, bg_block_bitmap_csum_hi, set_bg_block_bitmap_csum_hi;
        /// Checksum of the inode bitmap; only 16 bits in a short descriptor.
        inode_bitmap_csum, set_inode_bitmap_csum: u16 => u32 = bg_inode_bitmap_csum_lo,
            set_bg_inode_bitmap_csum_lo, bg_inode_bitmap_csum_hi, set_bg_inode_bitmap_csum_hi;
    }

    /// A descriptor of zeros of `size` bytes (32 or 64).
    #[must_use]
    pub fn blank(size: u16) -> Self {
        Self { raw: [0; 64], size: if size >= 64 { 64 } else { 32 } }
    }

    /// Reads the descriptor of `group` from its 32 or 64 bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the checksum is wrong.
    pub fn parse(bytes: &[u8], group: u32, checksums: &Checksums) -> Result<Self> {
        let mut new = Self::blank(bytes.len().try_into().unwrap_or(64));
        for (to, from) in new.raw.iter_mut().zip(bytes) {
            *to = *from;
        }
        let computed = new.computed_checksum(group, checksums);
        if computed.is_some_and(|computed| computed != new.bg_checksum()) {
            return Err(Error::Corrupt {
                what: format!("the descriptor of group {group}: its checksum is wrong"),
            });
        }
        Ok(new)
    }

    /// The bytes as they go to disk, the checksum made anew.
    #[must_use]
    pub fn encode(&self, group: u32, checksums: &Checksums) -> Vec<u8> {
        self.summed(group, checksums).bytes().to_vec()
    }

    /// The descriptor with its checksum made anew.
    pub(crate) fn summed(&self, group: u32, checksums: &Checksums) -> Self {
        let mut new = *self;
        if let Some(computed) = self.computed_checksum(group, checksums) {
            new.set_bg_checksum(computed);
        }
        new
    }

    /// The bytes as they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.raw.get(..usize::from(self.size)).unwrap_or_default()
    }

    fn computed_checksum(&self, group: u32, checksums: &Checksums) -> Option<u16> {
        let number = group.to_le_bytes();
        let bytes = self.bytes();
        match checksums.group {
            GroupChecksum::None => None,
            GroupChecksum::Crc32c => {
                // The number and the descriptor without its checksum, in one piece.
                let mut covered = [0; 68];
                let (to, from) = covered.split_at_mut(number.len());
                to.copy_from_slice(&number);
                from.copy_from_slice(&self.raw);
                crate::le::put(from, 0x1e, 0_u16);
                let covered = covered.get(..number.len() + bytes.len()).unwrap_or_default();
                Some(crc32c(checksums.seed, covered) as u16)
            }
            // The crc16 leaves the checksum's own two bytes out altogether.
            GroupChecksum::Crc16(uuid) => {
                let (before, rest) = bytes.split_at(0x1e);
                let after = rest.get(2..).unwrap_or_default();
                Some(crc16(crc16(crc16(crc16(!0, &uuid), &number), before), after))
            }
        }
    }

    /// True when `flag` is set in `bg_flags`.
    #[must_use]
    pub fn has_flag(&self, flag: u16) -> bool {
        self.bg_flags() & flag != 0
    }

    /// Bytes of the descriptor, 32 or 64.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.size
    }
}
