//! The journal's superblock: 1,024 bytes, big-endian, in its first block.

use crate::layout::checksum::crc32c;
use crate::{Error, Result, be};

/// The first four bytes of every block that the journal itself owns.
pub const JBD2_MAGIC: u32 = 0xc03b_3998;
/// Bytes of the superblock.
pub const JOURNAL_SUPERBLOCK_SIZE: usize = 1024;

/// `h_blocktype`: tags of the blocks that follow.
pub const DESCRIPTOR_BLOCK: u32 = 1;
/// `h_blocktype`: a transaction is complete.
pub const COMMIT_BLOCK: u32 = 2;
/// `h_blocktype`: a superblock without features.
pub const SUPERBLOCK_V1: u32 = 3;
/// `h_blocktype`: a superblock with features.
pub const SUPERBLOCK_V2: u32 = 4;
/// `h_blocktype`: blocks that earlier transactions must not bring back.
pub const REVOKE_BLOCK: u32 = 5;

/// `s_feature_compat`: commit blocks carry a crc32 of the transaction.
pub const COMPAT_CHECKSUM: u32 = 1;
/// `s_feature_incompat`: there are revoke blocks.
pub const INCOMPAT_REVOKE: u32 = 0x1;
/// `s_feature_incompat`: block numbers have 64 bits.
pub const INCOMPAT_64BIT: u32 = 0x2;
/// `s_feature_incompat`: commit blocks are written without waiting.
pub const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
/// `s_feature_incompat`: crc32c, 16 bits of it in tags.
pub const INCOMPAT_CSUM_V2: u32 = 0x8;
/// `s_feature_incompat`: crc32c, all of it in tags.
pub const INCOMPAT_CSUM_V3: u32 = 0x10;
/// `s_feature_incompat`: the journal's end holds fast commits.
pub const INCOMPAT_FAST_COMMIT: u32 = 0x20;
const KNOWN_INCOMPAT: u32 = 0x3f;

/// `s_num_fc_blks` when it is 0 and fast commits are on.
const DEFAULT_FC_BLOCKS: u32 = 256;

/// The journal's superblock. Unknown bytes are kept as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSuperblock {
    raw: [u8; JOURNAL_SUPERBLOCK_SIZE],
}

macro_rules! words {
    ($($(#[$doc:meta])* $get:ident, $set:ident = $offset:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $get(&self) -> u32 {
            be::u32_at(&self.raw, $offset).unwrap_or_default()
        }
        #[doc = concat!("Sets `", stringify!($get), "`.")]
        pub fn $set(&mut self, value: u32) {
            be::put_u32(&mut self.raw, $offset, value);
        }
    )*};
}

impl JournalSuperblock {
    words! {
        /// 0x04: which version of this block.
        h_blocktype, set_h_blocktype = 0x04;
        /// 0x0C: bytes of a block.
        s_blocksize, set_s_blocksize = 0x0c;
        /// 0x10: blocks of the journal, this one included.
        s_maxlen, set_s_maxlen = 0x10;
        /// 0x14: first block of the log.
        s_first, set_s_first = 0x14;
        /// 0x18: sequence of the first transaction to replay.
        s_sequence, set_s_sequence = 0x18;
        /// 0x1C: its block; 0 says that there is nothing to replay.
        s_start, set_s_start = 0x1c;
        /// 0x20: the error that stopped the journal, or 0.
        s_errno, set_s_errno = 0x20;
        /// 0x24: compatible features.
        s_feature_compat, set_s_feature_compat = 0x24;
        /// 0x28: incompatible features.
        s_feature_incompat, set_s_feature_incompat = 0x28;
        /// 0x2C: features that allow reading.
        s_feature_ro_compat, set_s_feature_ro_compat = 0x2c;
        /// 0x40: filesystems that use it.
        s_nr_users, set_s_nr_users = 0x40;
        /// 0x54: blocks at the end for fast commits.
        s_num_fc_blks, set_s_num_fc_blks = 0x54;
        /// 0x58: where the log's head is, for a clean journal.
        s_head, set_s_head = 0x58;
    }

    /// A new, empty internal journal of `maxlen` blocks.
    #[must_use]
    pub fn new(block_size: u32, maxlen: u32, uuid: [u8; 16], sequence: u32) -> Self {
        let mut new = Self { raw: [0; JOURNAL_SUPERBLOCK_SIZE] };
        be::put_u32(&mut new.raw, 0, JBD2_MAGIC);
        new.set_h_blocktype(SUPERBLOCK_V2);
        new.set_s_blocksize(block_size);
        new.set_s_maxlen(maxlen);
        new.set_s_first(1);
        new.set_s_sequence(sequence);
        new.set_s_nr_users(1);
        crate::le::put(&mut new.raw, 0x30, uuid);
        new
    }

    /// Reads and validates the superblock of a journal with `blocks` blocks of
    /// `block_size` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or [`Error::Incompatible`] with the bits of a
    /// feature that is not known.
    pub fn parse(bytes: &[u8], block_size: u32, blocks: u64) -> Result<Self> {
        let corrupt =
            |what: &str| Err(Error::Corrupt { what: format!("journal superblock: {what}") });
        let Some(raw) =
            bytes.get(..JOURNAL_SUPERBLOCK_SIZE).and_then(|bytes| bytes.try_into().ok())
        else {
            return corrupt("it is cut short");
        };
        let new = Self { raw };
        let version = new.h_blocktype();
        if be::u32_at(&new.raw, 0) != Some(JBD2_MAGIC)
            || version != SUPERBLOCK_V1 && version != SUPERBLOCK_V2
        {
            return corrupt("its magic is wrong");
        }
        let unknown = new.incompat() & !KNOWN_INCOMPAT;
        if unknown != 0 || version == SUPERBLOCK_V2 && new.s_feature_ro_compat() != 0 {
            return Err(Error::Incompatible { feature: format!("journal feature {unknown:#x}") });
        }
        let both = INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3;
        if new.incompat() & both == both {
            return corrupt("it names two kinds of checksum");
        }
        if new.checksummed() {
            if new.raw.get(0x50) != Some(&4) {
                return corrupt("its kind of checksum is not crc32c");
            }
            if be::u32_at(&new.raw, 0xfc) != Some(new.computed_checksum()) {
                return corrupt("its checksum is wrong");
            }
        }
        let log = new.log_end();
        if new.s_blocksize() != block_size
            || u64::from(new.s_maxlen()) > blocks
            || new.s_first() == 0
            || u64::from(new.s_first()) + 1 >= log
            || u64::from(new.s_start()) >= log
            || new.s_start() != 0 && new.s_start() < new.s_first()
        {
            return corrupt("its sizes contradict each other or the journal's inode");
        }
        Ok(new)
    }

    /// Incompatible features, none in the older version.
    #[must_use]
    pub fn incompat(&self) -> u32 {
        if self.h_blocktype() == SUPERBLOCK_V1 { 0 } else { self.s_feature_incompat() }
    }

    /// True when `feature` (an incompatible one) is on.
    #[must_use]
    pub fn has(&self, feature: u32) -> bool {
        self.incompat() & feature != 0
    }

    /// True when the journal's blocks carry crc32c.
    #[must_use]
    pub fn checksummed(&self) -> bool {
        self.has(INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3)
    }

    /// 0x30: the uuid, with which all checksums of the journal begin.
    #[must_use]
    pub fn s_uuid(&self) -> [u8; 16] {
        crate::le::get_or_zero(&self.raw, 0x30)
    }

    /// The seed of the checksums of descriptors, commits, revokes and data.
    #[must_use]
    pub fn checksum_seed(&self) -> u32 {
        crc32c(!0, &self.s_uuid())
    }

    /// Blocks at the journal's end that hold fast commits.
    #[must_use]
    pub fn fast_commit_blocks(&self) -> u32 {
        match (self.has(INCOMPAT_FAST_COMMIT), self.s_num_fc_blks()) {
            (false, _) => 0,
            (true, 0) => DEFAULT_FC_BLOCKS,
            (true, blocks) => blocks,
        }
    }

    /// The block behind the log's last; the log begins again at `s_first`.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        u64::from(self.s_maxlen().saturating_sub(self.fast_commit_blocks()))
    }

    /// Bytes of one tag in a descriptor block, without the uuid.
    #[must_use]
    pub fn tag_size(&self) -> usize {
        if self.has(INCOMPAT_CSUM_V3) {
            return 16;
        }
        let wide = if self.has(INCOMPAT_64BIT) { 12 } else { 8 };
        wide + if self.has(INCOMPAT_CSUM_V2) { 2 } else { 0 }
    }

    fn computed_checksum(&self) -> u32 {
        let mut zeroed = self.raw;
        be::put_u32(&mut zeroed, 0xfc, 0);
        crc32c(!0, &zeroed)
    }

    /// The bytes as they go to disk, the checksum made anew.
    #[must_use]
    pub fn encode(&self) -> [u8; JOURNAL_SUPERBLOCK_SIZE] {
        let mut new = self.raw;
        if self.checksummed() {
            be::put_u32(&mut new, 0xfc, self.computed_checksum());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_the_size_of_their_features() {
        let mut sb = JournalSuperblock::new(4096, 1024, [7; 16], 1);
        for (features, size) in [(0, 8), (2, 12), (8, 10), (2 | 8, 14), (16, 16), (2 | 16, 16)] {
            sb.set_s_feature_incompat(features);
            assert_eq!(sb.tag_size(), size, "{features:#x}");
        }
    }

    #[test]
    fn a_damaged_superblock_is_refused() {
        let good = JournalSuperblock::new(4096, 1024, [7; 16], 1);
        JournalSuperblock::parse(&good.encode(), 4096, 1024).unwrap();
        assert!(JournalSuperblock::parse(&good.encode(), 4096, 1023).is_err());
        assert!(JournalSuperblock::parse(&good.encode(), 1024, 1024).is_err());
        let mut unknown = good.clone();
        unknown.set_s_feature_incompat(0x4000);
        assert!(JournalSuperblock::parse(&unknown.encode(), 4096, 1024).is_err());
        let mut start = good;
        start.set_s_start(1024);
        assert!(JournalSuperblock::parse(&start.encode(), 4096, 1024).is_err());
    }
}
