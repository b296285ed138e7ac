//! The superblock: 1,024 bytes at byte 1,024.

use super::checksum::{Checksums, GroupChecksum, crc32c};
use super::features::{Compat, Features, Incompat, RoCompat};
use crate::le::fields;
use crate::{Error, Result};

/// Byte offset of the superblock on the device.
pub const SUPERBLOCK_OFFSET: u64 = 1024;
/// Bytes of the superblock.
pub const SUPERBLOCK_SIZE: usize = 1024;
/// `s_magic`.
pub const MAGIC: u16 = 0xef53;

/// `s_state`: cleanly unmounted.
pub const STATE_VALID: u16 = 1;
/// `s_state`: errors were met.
pub const STATE_ERROR: u16 = 2;
/// `s_flags`: names are hashed as signed characters.
pub const FLAG_SIGNED_HASH: u32 = 1;
/// `s_flags`: names are hashed as unsigned characters.
pub const FLAG_UNSIGNED_HASH: u32 = 2;

/// A validated superblock. Unknown bytes are kept as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    raw: [u8; SUPERBLOCK_SIZE],
}

fields! { Superblock {
    /// 0x00: inodes in all.
    s_inodes_count, set_s_inodes_count: u32 = 0x00;
    /// 0x04: blocks in all, low half.
    s_blocks_count_lo, set_s_blocks_count_lo: u32 = 0x04;
    /// 0x08: blocks reserved for the superuser, low half.
    s_r_blocks_count_lo, set_s_r_blocks_count_lo: u32 = 0x08;
    /// 0x0C: free blocks, low half.
    s_free_blocks_count_lo, set_s_free_blocks_count_lo: u32 = 0x0c;
    /// 0x10: free inodes.
    s_free_inodes_count, set_s_free_inodes_count: u32 = 0x10;
    /// 0x14: block of the superblock: 1 with blocks of 1,024 bytes, else 0.
    s_first_data_block, set_s_first_data_block: u32 = 0x14;
    /// 0x18: block size is 1,024 shifted by this.
    s_log_block_size, set_s_log_block_size: u32 = 0x18;
    /// 0x1C: cluster size is 1,024 shifted by this.
    s_log_cluster_size, set_s_log_cluster_size: u32 = 0x1c;
    /// 0x20: blocks in a group.
    s_blocks_per_group, set_s_blocks_per_group: u32 = 0x20;
    /// 0x24: clusters in a group.
    s_clusters_per_group, set_s_clusters_per_group: u32 = 0x24;
    /// 0x28: inodes in a group.
    s_inodes_per_group, set_s_inodes_per_group: u32 = 0x28;
    /// 0x2C: last mount, seconds.
    s_mtime, set_s_mtime: u32 = 0x2c;
    /// 0x30: last write, seconds.
    s_wtime, set_s_wtime: u32 = 0x30;
    /// 0x34: mounts since the last check.
    s_mnt_count, set_s_mnt_count: u16 = 0x34;
    /// 0x36: mounts after which to check.
    s_max_mnt_count, set_s_max_mnt_count: u16 = 0x36;
    /// 0x38: 0xEF53.
    s_magic, set_s_magic: u16 = 0x38;
    /// 0x3A: clean, errors, orphans.
    s_state, set_s_state: u16 = 0x3a;
    /// 0x3C: what the kernel does on errors.
    s_errors, set_s_errors: u16 = 0x3c;
    /// 0x3E: minor revision.
    s_minor_rev_level, set_s_minor_rev_level: u16 = 0x3e;
    /// 0x40: last check, seconds.
    s_lastcheck, set_s_lastcheck: u32 = 0x40;
    /// 0x44: longest time between checks, seconds.
    s_checkinterval, set_s_checkinterval: u32 = 0x44;
    /// 0x48: operating system that made it; 0 is Linux.
    s_creator_os, set_s_creator_os: u32 = 0x48;
    /// 0x4C: 0 is the original format, 1 has variable inode sizes.
    s_rev_level, set_s_rev_level: u32 = 0x4c;
    /// 0x50: user who may use reserved blocks.
    s_def_resuid, set_s_def_resuid: u16 = 0x50;
    /// 0x52: group who may use reserved blocks.
    s_def_resgid, set_s_def_resgid: u16 = 0x52;
    /// 0x54: first inode that is not reserved.
    s_first_ino, set_s_first_ino: u32 = 0x54;
    /// 0x58: bytes of an inode.
    s_inode_size, set_s_inode_size: u16 = 0x58;
    /// 0x5A: group of this superblock.
    s_block_group_nr, set_s_block_group_nr: u16 = 0x5a;
    /// 0x5C: compatible features.
    s_feature_compat, set_s_feature_compat: u32 = 0x5c;
    /// 0x60: incompatible features.
    s_feature_incompat, set_s_feature_incompat: u32 = 0x60;
    /// 0x64: features that allow reading.
    s_feature_ro_compat, set_s_feature_ro_compat: u32 = 0x64;
    /// 0x68: the filesystem's uuid.
    s_uuid, set_s_uuid: [u8; 16] = 0x68;
    /// 0x78: the label, padded with NUL.
    s_volume_name, set_s_volume_name: [u8; 16] = 0x78;
    /// 0xCE: descriptor blocks reserved for growing.
    s_reserved_gdt_blocks, set_s_reserved_gdt_blocks: u16 = 0xce;
    /// 0xD0: uuid of an external journal.
    s_journal_uuid, set_s_journal_uuid: [u8; 16] = 0xd0;
    /// 0xE0: the journal's inode.
    s_journal_inum, set_s_journal_inum: u32 = 0xe0;
    /// 0xE4: device number of an external journal.
    s_journal_dev, set_s_journal_dev: u32 = 0xe4;
    /// 0xE8: first inode of the orphan list.
    s_last_orphan, set_s_last_orphan: u32 = 0xe8;
    /// 0xEC: seed of directory hashes, word 0.
    s_hash_seed_0, set_s_hash_seed_0: u32 = 0xec;
    /// 0xF0: seed of directory hashes, word 1.
    s_hash_seed_1, set_s_hash_seed_1: u32 = 0xf0;
    /// 0xF4: seed of directory hashes, word 2.
    s_hash_seed_2, set_s_hash_seed_2: u32 = 0xf4;
    /// 0xF8: seed of directory hashes, word 3.
    s_hash_seed_3, set_s_hash_seed_3: u32 = 0xf8;
    /// 0xFC: hash of new directory indexes.
    s_def_hash_version, set_s_def_hash_version: u8 = 0xfc;
    /// 0xFD: 1 when `s_jnl_blocks` holds a copy of the journal's map.
    s_jnl_backup_type, set_s_jnl_backup_type: u8 = 0xfd;
    /// 0xFE: bytes of a group descriptor with `64bit`.
    s_desc_size, set_s_desc_size: u16 = 0xfe;
    /// 0x100: mount options that hold without being given.
    s_default_mount_opts, set_s_default_mount_opts: u32 = 0x100;
    /// 0x104: first group of `meta_bg`.
    s_first_meta_bg, set_s_first_meta_bg: u32 = 0x104;
    /// 0x108: when it was made, seconds.
    s_mkfs_time, set_s_mkfs_time: u32 = 0x108;
    /// 0x150: blocks in all, high half.
    s_blocks_count_hi, set_s_blocks_count_hi: u32 = 0x150;
    /// 0x154: reserved blocks, high half.
    s_r_blocks_count_hi, set_s_r_blocks_count_hi: u32 = 0x154;
    /// 0x158: free blocks, high half.
    s_free_blocks_count_hi, set_s_free_blocks_count_hi: u32 = 0x158;
    /// 0x15C: extra bytes every inode has.
    s_min_extra_isize, set_s_min_extra_isize: u16 = 0x15c;
    /// 0x15E: extra bytes new inodes should have.
    s_want_extra_isize, set_s_want_extra_isize: u16 = 0x15e;
    /// 0x160: signed or unsigned hashes, test filesystem.
    s_flags, set_s_flags: u32 = 0x160;
    /// 0x168: block of multiple mount protection.
    s_mmp_block, set_s_mmp_block: u64 = 0x168;
    /// 0x174: groups that lie together are 2 to the power of this.
    s_log_groups_per_flex, set_s_log_groups_per_flex: u8 = 0x174;
    /// 0x175: 1 is crc32c.
    s_checksum_type, set_s_checksum_type: u8 = 0x175;
    /// 0x178: KiB written in all.
    s_kbytes_written, set_s_kbytes_written: u64 = 0x178;
    /// 0x194: errors seen.
    s_error_count, set_s_error_count: u32 = 0x194;
    /// 0x240: inode of the quota of users.
    s_usr_quota_inum, set_s_usr_quota_inum: u32 = 0x240;
    /// 0x244: inode of the quota of groups.
    s_grp_quota_inum, set_s_grp_quota_inum: u32 = 0x244;
    /// 0x248: clusters of metadata, known at mount.
    s_overhead_blocks, set_s_overhead_blocks: u32 = 0x248;
    /// 0x24C: groups with backups under `sparse_super2`, first.
    s_backup_bgs_0, set_s_backup_bgs_0: u32 = 0x24c;
    /// 0x250: groups with backups under `sparse_super2`, second.
    s_backup_bgs_1, set_s_backup_bgs_1: u32 = 0x250;
    /// 0x268: inode of `lost+found`.
    s_lpf_ino, set_s_lpf_ino: u32 = 0x268;
    /// 0x26C: inode of project quota.
    s_prj_quota_inum, set_s_prj_quota_inum: u32 = 0x26c;
    /// 0x270: stored checksum seed (`metadata_csum_seed`).
    s_checksum_seed, set_s_checksum_seed: u32 = 0x270;
    /// 0x274: high byte of `s_wtime`.
    s_wtime_hi, set_s_wtime_hi: u8 = 0x274;
    /// 0x275: high byte of `s_mtime`.
    s_mtime_hi, set_s_mtime_hi: u8 = 0x275;
    /// 0x276: high byte of `s_mkfs_time`.
    s_mkfs_time_hi, set_s_mkfs_time_hi: u8 = 0x276;
    /// 0x277: high byte of `s_lastcheck`.
    s_lastcheck_hi, set_s_lastcheck_hi: u8 = 0x277;
    /// 0x27C: encoding of names that are compared without case.
    s_encoding, set_s_encoding: u16 = 0x27c;
    /// 0x280: inode of the orphan file.
    s_orphan_file_inum, set_s_orphan_file_inum: u32 = 0x280;
    /// 0x3FC: crc32c of all before it.
    s_checksum, set_s_checksum: u32 = 0x3fc;
} }

/// Offset of `s_jnl_blocks`: `i_block`, `i_size_high` and `i_size_lo` of the journal.
const JNL_BLOCKS: usize = 0x10c;

impl Superblock {
    /// A superblock of zeros with the magic: the beginning of a new one.
    #[must_use]
    pub fn blank() -> Self {
        let mut new = Self { raw: [0; SUPERBLOCK_SIZE] };
        new.set_s_magic(MAGIC);
        new
    }

    /// Reads and validates: magic, checksum, features, and every size that
    /// other computations divide by.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or [`Error::Incompatible`] for features that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let raw = bytes
            .get(..SUPERBLOCK_SIZE)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| corrupt("it is shorter than 1024 bytes"))?;
        let new = Self { raw };
        if new.s_magic() != MAGIC {
            return Err(corrupt(&format!(
                "magic {:#06x} is not ext4's {MAGIC:#06x}: there is no ext4 filesystem here",
                new.s_magic()
            )));
        }
        new.features().check_readable()?;
        new.check_checksum()?;
        new.check_sizes()?;
        Ok(new)
    }

    fn check_checksum(&self) -> Result<()> {
        if !self.features().ro_compat.has(RoCompat::METADATA_CSUM) {
            return Ok(());
        }
        if self.s_checksum_type() != 1 {
            let feature = format!("checksum type {}", self.s_checksum_type());
            return Err(Error::Incompatible { feature });
        }
        let computed = self.computed_checksum();
        if computed != self.s_checksum() {
            return Err(corrupt(&format!(
                "checksum {:#010x} should be {computed:#010x}",
                self.s_checksum()
            )));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<()> {
        let features = self.features();
        let bad = |what: &str, value: u64| Err(corrupt(&format!("{what} cannot be {value}")));
        if self.s_log_block_size() > 6 {
            return bad("s_log_block_size", self.s_log_block_size().into());
        }
        let block_size = self.block_size();
        let bits = block_size * 8;
        if features.ro_compat.has(RoCompat::BIGALLOC) {
            let ratio = self.s_log_cluster_size().wrapping_sub(self.s_log_block_size());
            if self.s_log_cluster_size() > 20
                || ratio > 20
                || u64::from(self.s_clusters_per_group()) << ratio
                    != u64::from(self.s_blocks_per_group())
            {
                return bad("s_log_cluster_size", self.s_log_cluster_size().into());
            }
        }
        if self.s_rev_level() > 1 {
            return bad("s_rev_level", self.s_rev_level().into());
        }
        let inode_size = u32::from(self.inode_size());
        if !inode_size.is_power_of_two() || inode_size < 128 || inode_size > block_size {
            return bad("s_inode_size", inode_size.into());
        }
        let per_group = self.clusters_per_group();
        if per_group < 8 || per_group > bits || !per_group.is_multiple_of(8) {
            return bad("s_blocks_per_group", per_group.into());
        }
        let inodes = self.s_inodes_per_group();
        if inodes < block_size / inode_size || inodes > bits || !inodes.is_multiple_of(8) {
            return bad("s_inodes_per_group", inodes.into());
        }
        let descriptor = self.desc_size();
        if features.incompat.has(Incompat::SIXTY_FOUR_BIT) && descriptor != 64 {
            return Err(Error::Incompatible {
                feature: format!("group descriptors of {descriptor} bytes"),
            });
        }
        let first = self.s_first_data_block();
        if first > 1 || (first == 0) != (block_size > 1024) && !self.clusters_are_larger() {
            return bad("s_first_data_block", first.into());
        }
        let blocks = self.blocks_count();
        if blocks <= u64::from(first) || blocks >> 48 != 0 {
            return bad("s_blocks_count", blocks);
        }
        let groups = (blocks - u64::from(first)).div_ceil(u64::from(self.s_blocks_per_group()));
        if groups.checked_mul(inodes.into()) != Some(self.s_inodes_count().into()) {
            return bad("s_inodes_count", self.s_inodes_count().into());
        }
        if u32::from(self.s_reserved_gdt_blocks()) > block_size / 4 {
            return bad("s_reserved_gdt_blocks", self.s_reserved_gdt_blocks().into());
        }
        if self.first_ino() < 11 || self.first_ino() > self.s_inodes_count() {
            return bad("s_first_ino", self.first_ino().into());
        }
        if self.s_log_groups_per_flex() > 31 {
            return bad("s_log_groups_per_flex", self.s_log_groups_per_flex().into());
        }
        Ok(())
    }

    fn clusters_are_larger(&self) -> bool {
        self.features().ro_compat.has(RoCompat::BIGALLOC)
    }

    fn computed_checksum(&self) -> u32 {
        let (covered, _) = self.raw.split_at(SUPERBLOCK_SIZE - 4);
        crc32c(!0, covered)
    }

    /// The bytes as they go to disk, the checksum made anew.
    #[must_use]
    pub fn encode(&self) -> [u8; SUPERBLOCK_SIZE] {
        let mut new = self.clone();
        if self.features().ro_compat.has(RoCompat::METADATA_CSUM) {
            new.set_s_checksum(self.computed_checksum());
        }
        new.raw
    }

    /// All three feature words.
    #[must_use]
    pub fn features(&self) -> Features {
        Features {
            compat: Compat(self.s_feature_compat()),
            incompat: Incompat(self.s_feature_incompat()),
            ro_compat: RoCompat(self.s_feature_ro_compat()),
        }
    }

    /// Sets all three feature words.
    pub fn set_features(&mut self, features: Features) {
        self.set_s_feature_compat(features.compat.0);
        self.set_s_feature_incompat(features.incompat.0);
        self.set_s_feature_ro_compat(features.ro_compat.0);
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        1024 << self.s_log_block_size().min(6)
    }

    /// Blocks of an allocation cluster: 1 without `bigalloc`.
    #[must_use]
    pub fn cluster_ratio(&self) -> u32 {
        if !self.clusters_are_larger() {
            return 1;
        }
        1 << self.s_log_cluster_size().saturating_sub(self.s_log_block_size()).min(20)
    }

    /// Clusters of a group, which are blocks without `bigalloc`.
    #[must_use]
    pub fn clusters_per_group(&self) -> u32 {
        if self.clusters_are_larger() {
            self.s_clusters_per_group()
        } else {
            self.s_blocks_per_group()
        }
    }

    fn wide(&self) -> bool {
        self.features().incompat.has(Incompat::SIXTY_FOUR_BIT)
    }

    fn joined(&self, lo: u32, hi: u32) -> u64 {
        if self.wide() { u64::from(lo) | u64::from(hi) << 32 } else { u64::from(lo) }
    }

    /// Blocks in all.
    #[must_use]
    pub fn blocks_count(&self) -> u64 {
        self.joined(self.s_blocks_count_lo(), self.s_blocks_count_hi())
    }

    /// Sets the number of blocks; set the features first.
    pub fn set_blocks_count(&mut self, value: u64) {
        self.set_s_blocks_count_lo(value as u32);
        if self.wide() {
            self.set_s_blocks_count_hi((value >> 32) as u32);
        }
    }

    /// Blocks reserved for the superuser.
    #[must_use]
    pub fn r_blocks_count(&self) -> u64 {
        self.joined(self.s_r_blocks_count_lo(), self.s_r_blocks_count_hi())
    }

    /// Sets the number of reserved blocks; set the features first.
    pub fn set_r_blocks_count(&mut self, value: u64) {
        self.set_s_r_blocks_count_lo(value as u32);
        if self.wide() {
            self.set_s_r_blocks_count_hi((value >> 32) as u32);
        }
    }

    /// Free blocks (not clusters, even under `bigalloc`); may be stale until a clean unmount.
    #[must_use]
    pub fn free_blocks_count(&self) -> u64 {
        self.joined(self.s_free_blocks_count_lo(), self.s_free_blocks_count_hi())
    }

    /// Sets the number of free blocks; set the features first.
    pub fn set_free_blocks_count(&mut self, value: u64) {
        self.set_s_free_blocks_count_lo(value as u32);
        if self.wide() {
            self.set_s_free_blocks_count_hi((value >> 32) as u32);
        }
    }

    /// Bytes of an inode.
    #[must_use]
    pub fn inode_size(&self) -> u16 {
        if self.s_rev_level() == 0 { 128 } else { self.s_inode_size() }
    }

    /// First inode that is not reserved.
    #[must_use]
    pub fn first_ino(&self) -> u32 {
        if self.s_rev_level() == 0 { 11 } else { self.s_first_ino() }
    }

    /// Bytes of a group descriptor.
    #[must_use]
    pub fn desc_size(&self) -> u16 {
        if self.wide() { self.s_desc_size() } else { 32 }
    }

    /// The four words that seed directory hashes.
    #[must_use]
    pub fn hash_seed(&self) -> [u32; 4] {
        [self.s_hash_seed_0(), self.s_hash_seed_1(), self.s_hash_seed_2(), self.s_hash_seed_3()]
    }

    /// Sets the seed of directory hashes from the 16 bytes of a uuid.
    pub fn set_hash_seed(&mut self, seed: [u8; 16]) {
        crate::le::put(&mut self.raw, 0xec, seed);
    }

    /// 0x10C: the copy of the journal's `i_block` and size that e2fsck falls back on.
    pub fn set_journal_backup(&mut self, i_block: &[u8; 60], size: u64) {
        crate::le::put_bytes(&mut self.raw, JNL_BLOCKS, i_block);
        crate::le::put(&mut self.raw, JNL_BLOCKS + 60, (size >> 32) as u32);
        crate::le::put(&mut self.raw, JNL_BLOCKS + 64, size as u32);
        self.set_s_jnl_backup_type(1);
    }

    /// Which checksums the filesystem carries and their seed.
    #[must_use]
    pub fn checksums(&self) -> Checksums {
        let features = self.features();
        let metadata = features.ro_compat.has(RoCompat::METADATA_CSUM);
        let group = if metadata {
            GroupChecksum::Crc32c
        } else if features.ro_compat.has(RoCompat::GDT_CSUM) {
            GroupChecksum::Crc16(self.s_uuid())
        } else {
            GroupChecksum::None
        };
        let seed = if features.incompat.has(Incompat::CSUM_SEED) {
            self.s_checksum_seed()
        } else {
            crc32c(!0, &self.s_uuid())
        };
        Checksums { seed, metadata, group }
    }
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("superblock: {what}") }
}
