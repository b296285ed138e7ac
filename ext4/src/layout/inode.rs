//! Inodes: 128 bytes or more, with fields beyond 128 as `i_extra_isize` says.

use super::checksum::{Checksums, crc32c};
use crate::le::{self, fields};
use crate::{Error, Result, Timestamp};

/// Inode of bad blocks.
pub const BAD_INO: u32 = 1;
/// Inode of the root directory.
pub const ROOT_INO: u32 = 2;
/// Inode that owns the reserved descriptor blocks.
pub const RESIZE_INO: u32 = 7;
/// Inode of the internal journal, by custom.
pub const JOURNAL_INO: u32 = 8;

/// Bytes every inode has.
pub const GOOD_OLD_INODE_SIZE: usize = 128;
/// `i_extra_isize` of new inodes in 256 bytes.
pub const WANT_EXTRA_ISIZE: u16 = 32;
/// Offset and length of `i_block`.
const I_BLOCK: usize = 0x28;

/// `i_flags`: blocks must not change.
pub const FLAG_IMMUTABLE: u32 = 0x10;
/// `i_flags`: encrypted.
pub const FLAG_ENCRYPT: u32 = 0x800;
/// `i_flags`: the directory has a hash tree.
pub const FLAG_INDEX: u32 = 0x1000;
/// `i_flags`: `i_blocks` counts filesystem blocks.
pub const FLAG_HUGE_FILE: u32 = 0x4_0000;
/// `i_flags`: mapped by extents.
pub const FLAG_EXTENTS: u32 = 0x8_0000;
/// `i_flags`: verity.
pub const FLAG_VERITY: u32 = 0x10_0000;
/// `i_flags`: holds the value of an extended attribute.
pub const FLAG_EA_INODE: u32 = 0x20_0000;
/// `i_flags`: the data lies in the inode.
pub const FLAG_INLINE_DATA: u32 = 0x1000_0000;
/// `i_flags`: names are compared without case.
pub const FLAG_CASEFOLD: u32 = 0x4000_0000;

/// The type of an inode, from the high bits of `i_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// The type `i_mode` names, if it names one.
    #[must_use]
    pub fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode & 0xf000 {
            0x1000 => Self::Fifo,
            0x2000 => Self::CharDevice,
            0x4000 => Self::Directory,
            0x6000 => Self::BlockDevice,
            0x8000 => Self::Regular,
            0xa000 => Self::Symlink,
            0xc000 => Self::Socket,
            _ => return None,
        })
    }

    /// The bits of `i_mode`.
    #[must_use]
    pub fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0x1000,
            Self::CharDevice => 0x2000,
            Self::Directory => 0x4000,
            Self::BlockDevice => 0x6000,
            Self::Regular => 0x8000,
            Self::Symlink => 0xa000,
            Self::Socket => 0xc000,
        }
    }

    /// The value of `file_type` in a directory entry.
    #[must_use]
    pub fn dirent_type(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// One inode's bytes. Fields that a short inode lacks read as zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    raw: Vec<u8>,
}

fields! { Inode {
    /// 0x00: type and permissions.
    i_mode, set_i_mode: u16 = 0x00;
    /// 0x02: owner, low half.
    i_uid_lo, set_i_uid_lo: u16 = 0x02;
    /// 0x04: size in bytes, low half.
    i_size_lo, set_i_size_lo: u32 = 0x04;
    /// 0x08: last access, seconds.
    i_atime, set_i_atime: u32 = 0x08;
    /// 0x0C: last change of the inode, seconds.
    i_ctime, set_i_ctime: u32 = 0x0c;
    /// 0x10: last change of the data, seconds.
    i_mtime, set_i_mtime: u32 = 0x10;
    /// 0x14: when it was deleted, or the next inode of the orphan list.
    i_dtime, set_i_dtime: u32 = 0x14;
    /// 0x18: group, low half.
    i_gid_lo, set_i_gid_lo: u16 = 0x18;
    /// 0x1A: names that lead here.
    i_links_count, set_i_links_count: u16 = 0x1a;
    /// 0x1C: blocks, low half.
    i_blocks_lo, set_i_blocks_lo: u32 = 0x1c;
    /// 0x20: flags.
    i_flags, set_i_flags: u32 = 0x20;
    /// 0x24: version (`l_i_version`).
    i_version, set_i_version: u32 = 0x24;
    /// 0x64: generation, for NFS and checksums.
    i_generation, set_i_generation: u32 = 0x64;
    /// 0x68: block of extended attributes, low half.
    i_file_acl_lo, set_i_file_acl_lo: u32 = 0x68;
    /// 0x6C: size in bytes, high half.
    i_size_high, set_i_size_high: u32 = 0x6c;
    /// 0x74: blocks, high part.
    i_blocks_high, set_i_blocks_high: u16 = 0x74;
    /// 0x76: block of extended attributes, high half.
    i_file_acl_high, set_i_file_acl_high: u16 = 0x76;
    /// 0x78: owner, high half.
    i_uid_high, set_i_uid_high: u16 = 0x78;
    /// 0x7A: group, high half.
    i_gid_high, set_i_gid_high: u16 = 0x7a;
    /// 0x7C: checksum, low half.
    i_checksum_lo, set_i_checksum_lo: u16 = 0x7c;
    /// 0x80: bytes beyond 128 that fields use.
    i_extra_isize, set_i_extra_isize: u16 = 0x80;
    /// 0x82: checksum, high half.
    i_checksum_hi, set_i_checksum_hi: u16 = 0x82;
    /// 0x84: `i_ctime`'s nanoseconds and epoch.
    i_ctime_extra, set_i_ctime_extra: u32 = 0x84;
    /// 0x88: `i_mtime`'s nanoseconds and epoch.
    i_mtime_extra, set_i_mtime_extra: u32 = 0x88;
    /// 0x8C: `i_atime`'s nanoseconds and epoch.
    i_atime_extra, set_i_atime_extra: u32 = 0x8c;
    /// 0x90: creation, seconds.
    i_crtime, set_i_crtime: u32 = 0x90;
    /// 0x94: `i_crtime`'s nanoseconds and epoch.
    i_crtime_extra, set_i_crtime_extra: u32 = 0x94;
    /// 0x98: version, high half.
    i_version_hi, set_i_version_hi: u32 = 0x98;
    /// 0x9C: project.
    i_projid, set_i_projid: u32 = 0x9c;
} }

/// One of the times: 32 bits of seconds and, where the inode has room, the extra word.
macro_rules! times {
    ($($(#[$doc:meta])* $get:ident, $set:ident = $seconds:ident, $set_seconds:ident, $extra:ident, $set_extra:ident, $end:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $get(&self) -> Timestamp {
            Timestamp::decode(self.$seconds(), self.covers($end).then(|| self.$extra()))
        }
        #[doc = concat!("Sets what `", stringify!($get), "` reads.")]
        pub fn $set(&mut self, time: Timestamp) {
            let wide = self.covers($end);
            let (seconds, extra) = if wide { time } else { time.in_32_bits() }.encode();
            self.$set_seconds(seconds);
            if wide {
                self.$set_extra(extra);
            }
        }
    )*};
}

impl Inode {
    times! {
        /// Last access.
        atime, set_atime = i_atime, set_i_atime, i_atime_extra, set_i_atime_extra, 0x90;
        /// Last change of the inode.
        ctime, set_ctime = i_ctime, set_i_ctime, i_ctime_extra, set_i_ctime_extra, 0x88;
        /// Last change of the data.
        mtime, set_mtime = i_mtime, set_i_mtime, i_mtime_extra, set_i_mtime_extra, 0x8c;
    }

    /// A zero inode of `size` bytes with `i_extra_isize` set where there is room.
    #[must_use]
    pub fn blank(size: u16) -> Self {
        let mut new = Self { raw: vec![0; usize::from(size).max(GOOD_OLD_INODE_SIZE)] };
        if size > 128 {
            new.set_i_extra_isize(WANT_EXTRA_ISIZE);
        }
        new
    }

    /// Reads inode `ino` from its `inode_size` bytes and checks the checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a wrong checksum, or an `i_extra_isize` that
    /// leaves the inode.
    pub fn parse(ino: u32, bytes: impl Into<Vec<u8>>, checksums: &Checksums) -> Result<Self> {
        let new = Self { raw: bytes.into() };
        let len = new.raw.len();
        let corrupt = |what: &str| Error::Corrupt { what: format!("inode {ino}: {what}") };
        if len < GOOD_OLD_INODE_SIZE {
            return Err(corrupt("shorter than 128 bytes"));
        }
        let extra = usize::from(new.i_extra_isize());
        if GOOD_OLD_INODE_SIZE + extra > len.max(GOOD_OLD_INODE_SIZE + 2)
            || !extra.is_multiple_of(4)
        {
            return Err(corrupt("i_extra_isize is impossible"));
        }
        if checksums.metadata {
            let computed = new.computed_checksum(ino, checksums);
            if computed != new.stored_checksum() {
                return Err(corrupt("its checksum is wrong"));
            }
        }
        Ok(new)
    }

    /// The bytes as they go to disk, the checksum made anew.
    #[must_use]
    pub fn encode(&self, ino: u32, checksums: &Checksums) -> Vec<u8> {
        let mut bytes = vec![0; self.raw.len()];
        self.encode_into(ino, checksums, &mut bytes);
        bytes
    }

    /// As [`Self::encode`], into as many bytes as an inode has.
    pub(crate) fn encode_into(&self, ino: u32, checksums: &Checksums, bytes: &mut [u8]) {
        if le::put_bytes(bytes, 0, &self.raw) && checksums.metadata {
            let computed = self.computed_checksum(ino, checksums);
            le::put(bytes, 0x7c, computed as u16);
            if self.covers(0x84) {
                le::put(bytes, 0x82, (computed >> 16) as u16);
            }
        }
    }

    fn computed_checksum(&self, ino: u32, checksums: &Checksums) -> u32 {
        let high = self.covers(0x84);
        let seed = checksums.inode_seed(ino, self.i_generation());
        let sum = |zeroed: &mut [u8]| {
            zeroed.copy_from_slice(&self.raw);
            le::put(zeroed, 0x7c, 0_u16);
            if high {
                le::put(zeroed, 0x82, 0_u16);
            }
            crc32c(seed, zeroed)
        };
        let mut usual = [0; 256];
        let full = match usual.get_mut(..self.raw.len()) {
            Some(zeroed) => sum(zeroed),
            None => sum(&mut self.raw.clone()),
        };
        if high { full } else { full & 0xffff }
    }

    fn stored_checksum(&self) -> u32 {
        let high = if self.covers(0x84) { u32::from(self.i_checksum_hi()) } else { 0 };
        u32::from(self.i_checksum_lo()) | high << 16
    }

    /// True when `i_extra_isize` says that fields up to byte `end` are in use.
    #[must_use]
    pub fn covers(&self, end: usize) -> bool {
        self.raw.len() > GOOD_OLD_INODE_SIZE
            && end <= self.raw.len()
            && end <= GOOD_OLD_INODE_SIZE + usize::from(self.i_extra_isize())
    }

    /// Type, when the mode names one.
    #[must_use]
    pub fn kind(&self) -> Option<FileKind> {
        FileKind::from_mode(self.i_mode())
    }

    /// True when `flag` is set in `i_flags`.
    #[must_use]
    pub fn has_flag(&self, flag: u32) -> bool {
        self.i_flags() & flag != 0
    }

    /// Owner.
    #[must_use]
    pub fn uid(&self) -> u32 {
        u32::from(self.i_uid_lo()) | u32::from(self.i_uid_high()) << 16
    }

    /// Sets the owner.
    pub fn set_uid(&mut self, uid: u32) {
        self.set_i_uid_lo(uid as u16);
        self.set_i_uid_high((uid >> 16) as u16);
    }

    /// Group.
    #[must_use]
    pub fn gid(&self) -> u32 {
        u32::from(self.i_gid_lo()) | u32::from(self.i_gid_high()) << 16
    }

    /// Sets the group.
    pub fn set_gid(&mut self, gid: u32) {
        self.set_i_gid_lo(gid as u16);
        self.set_i_gid_high((gid >> 16) as u16);
    }

    /// Size in bytes. (The high half of a directory's size counts only with
    /// `large_dir`, but has been zero without it since ext3.)
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.i_size_lo()) | u64::from(self.i_size_high()) << 32
    }

    /// Sets the size in bytes.
    pub fn set_size(&mut self, size: u64) {
        self.set_i_size_lo(size as u32);
        self.set_i_size_high((size >> 32) as u32);
    }

    /// Allocated space in units of 512 bytes, whichever unit the disk counts in.
    #[must_use]
    pub fn sectors(&self, block_size: u32) -> u64 {
        let stored = u64::from(self.i_blocks_lo()) | u64::from(self.i_blocks_high()) << 32;
        if self.has_flag(FLAG_HUGE_FILE) { stored * u64::from(block_size / 512) } else { stored }
    }

    /// Sets the allocated space, given in units of 512 bytes; beyond 48 bits
    /// it is counted in blocks, as `huge_file` has it.
    pub fn set_sectors(&mut self, sectors: u64, block_size: u32) {
        let (stored, huge) = if sectors >> 48 == 0 {
            (sectors, 0)
        } else {
            (sectors / u64::from(block_size / 512), FLAG_HUGE_FILE)
        };
        self.set_i_flags(self.i_flags() & !FLAG_HUGE_FILE | huge);
        self.set_i_blocks_lo(stored as u32);
        self.set_i_blocks_high((stored >> 32) as u16);
    }

    /// Block of extended attributes; 0 is none.
    #[must_use]
    pub fn file_acl(&self) -> u64 {
        u64::from(self.i_file_acl_lo()) | u64::from(self.i_file_acl_high()) << 32
    }

    /// Sets the block of extended attributes.
    pub fn set_file_acl(&mut self, block: u64) {
        self.set_i_file_acl_lo(block as u32);
        self.set_i_file_acl_high((block >> 32) as u16);
    }

    /// 0x28: the 60 bytes that map the data or hold it.
    #[must_use]
    pub fn i_block(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        if let Some(from) = self.raw.get(I_BLOCK..I_BLOCK + 60) {
            bytes.copy_from_slice(from);
        }
        bytes
    }

    /// Sets the 60 bytes that map the data or hold it.
    pub fn set_i_block(&mut self, bytes: &[u8; 60]) {
        le::put_bytes(&mut self.raw, I_BLOCK, bytes);
    }

    /// Device number of a device inode: major, minor.
    #[must_use]
    pub fn device(&self) -> (u32, u32) {
        let block = self.i_block();
        let old: u32 = le::get_or_zero(&block, 0);
        if old != 0 {
            return (old >> 8 & 0xff, old & 0xff);
        }
        let new: u32 = le::get_or_zero(&block, 4);
        (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
    }

    /// Sets the device number, in the old form where it fits, as the kernel does.
    pub fn set_device(&mut self, major: u32, minor: u32) {
        let mut block = [0; 60];
        if major < 256 && minor < 256 {
            le::put(&mut block, 0, major << 8 | minor);
        } else {
            le::put(&mut block, 4, minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12);
        }
        self.set_i_block(&block);
    }

    /// The bytes behind the fields, where attributes may lie; empty without room.
    #[must_use]
    pub fn extra_space(&self) -> &[u8] {
        self.raw.get(self.extra_start()..).unwrap_or_default()
    }

    /// The same bytes, to be written.
    pub fn extra_space_mut(&mut self) -> &mut [u8] {
        let start = self.extra_start();
        self.raw.get_mut(start..).unwrap_or_default()
    }

    fn extra_start(&self) -> usize {
        if self.raw.len() <= GOOD_OLD_INODE_SIZE || self.i_extra_isize() == 0 {
            return self.raw.len();
        }
        GOOD_OLD_INODE_SIZE + usize::from(self.i_extra_isize())
    }

    /// A link whose target lies in `i_block`.
    #[must_use]
    pub fn is_fast_symlink(&self) -> bool {
        self.kind() == Some(FileKind::Symlink)
            && self.size() < 60
            && !self.has_flag(FLAG_EXTENTS | FLAG_INLINE_DATA)
    }

    /// All bytes, checksum as last read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_what_an_inode_holds_are_the_nearest_that_it_does() {
        let far = Timestamp { seconds: 4_000_000_000, nanoseconds: 5 };
        let mut long = Inode::blank(256);
        long.set_mtime(far);
        assert_eq!(long.mtime(), far);
        let mut short = Inode::blank(128);
        short.set_mtime(far);
        assert_eq!(short.mtime(), Timestamp { seconds: i32::MAX.into(), nanoseconds: 0 });
        short.set_atime(Timestamp { seconds: -4_000_000_000, nanoseconds: 5 });
        assert_eq!(short.atime().seconds, i32::MIN.into());
    }
}
