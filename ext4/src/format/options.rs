//! What a caller may choose of a new filesystem.

use crate::Timestamp;

/// How many inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inodes {
    /// As mke2fs: one for 16 KiB, for 4 or 8 KiB on small filesystems, for
    /// 32 or 64 KiB on large ones.
    #[default]
    Default,
    /// One for so many bytes.
    Ratio(u64),
    /// At least so many.
    Count(u32),
}

/// How large a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Journal {
    /// As mke2fs: 4 MiB to 1 GiB by the filesystem's size, none below 2,048 blocks.
    #[default]
    Default,
    /// None.
    None,
    /// So many blocks, at least 1,024.
    Blocks(u32),
}

/// A new filesystem, but for its size, which is the disk's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatOptions {
    /// `s_uuid`.
    pub uuid: [u8; 16],
    /// `s_hash_seed`.
    pub hash_seed: [u8; 16],
    /// `s_volume_name`, at most 16 bytes.
    pub label: Vec<u8>,
    /// The time that everything carries.
    pub now: Timestamp,
    /// Bytes of a block: 1024, 2048 or 4096. None is mke2fs's rule: 1024 below
    /// 512 MiB, else 4096.
    pub block_size: Option<u32>,
    /// How many inodes.
    pub inodes: Inodes,
    /// How large a journal.
    pub journal: Journal,
    /// Percent of all blocks that only the superuser may take, at most 50.
    pub reserved_percent: u8,
    /// Orphans are listed in a file of their own (`orphan_file`), not in a chain through
    /// their inodes: for guests with kernels from 5.15 on.
    pub orphan_file: bool,
    /// The seed of checksums is stored (`metadata_csum_seed`), so that the uuid can be changed
    /// without all of them.
    pub csum_seed: bool,
    /// The disk reads as zero everywhere: a fresh sparse file. The kernel then
    /// need not zero inode tables in the background. Never true of storage
    /// that held anything before.
    pub zeroed: bool,
}

impl FormatOptions {
    /// What mke2fs does by default, on storage of which nothing is known.
    #[must_use]
    pub fn new(uuid: [u8; 16], hash_seed: [u8; 16], now: Timestamp) -> Self {
        Self {
            uuid,
            hash_seed,
            label: Vec::new(),
            now,
            block_size: None,
            inodes: Inodes::Default,
            journal: Journal::Default,
            reserved_percent: 5,
            orphan_file: false,
            csum_seed: false,
            zeroed: false,
        }
    }
}
