//! The numbers of a new filesystem: blocks, groups, inodes, journal, room to grow.

use super::{FormatOptions, Inodes, Journal};
use crate::layout::checksum::crc32c;
use crate::layout::features::{Compat, Features, Incompat, RoCompat};
use crate::layout::superblock::{FLAG_SIGNED_HASH, STATE_VALID, Superblock};
use crate::{Error, Result};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Bytes of an inode and of a descriptor.
const INODE_SIZE: u32 = 256;
const DESC_SIZE: u32 = 64;
/// Groups whose metadata lies together: 2 to the power of this.
const LOG_GROUPS_PER_FLEX: u8 = 4;
/// First inode that is not reserved; it becomes `lost+found`.
const FIRST_INO: u32 = 11;

/// Descriptors are reserved for growing so many times. mke2fs reserves for
/// 1,024 times, which makes 4 MiB of pointers to write on a disk of 8 GiB; 64
/// times costs a sixteenth and takes 8 GiB to 512 GiB. (Beyond that the kernel
/// grows with `meta_bg`.)
const GROWTH: u64 = 64;

/// The superblock of a new filesystem on a disk of `len` bytes, all counts of
/// free things still zero; and the blocks of its journal.
pub(super) fn new_superblock(len: u64, options: &FormatOptions) -> Result<(Superblock, u32)> {
    let block_size = match options.block_size {
        None if len < 512 * MIB => 1024,
        None => 4096,
        Some(size @ (1024 | 2048 | 4096)) => size,
        Some(_) => return Err(refuse("a block must have 1024, 2048 or 4096 bytes")),
    };
    if options.label.len() > 16 {
        return Err(refuse("a label has at most 16 bytes"));
    }
    let mut blocks = len / u64::from(block_size);
    if blocks >> 40 != 0 {
        let what = "the filesystem, in blocks,".to_owned();
        return Err(Error::TooLarge { what, limit: 1 << 40 });
    }
    let first = u32::from(block_size == 1024);
    let per_group = block_size * 8;
    loop {
        let data = blocks.saturating_sub(first.into());
        let groups = data.div_ceil(per_group.into());
        let Ok(groups @ 1..) = u32::try_from(groups) else { return Err(too_small()) };
        let inodes = inodes_per_group(len, groups, block_size, options)?;
        let reserved = reserved_gdt_blocks(blocks, groups, block_size);
        let sb = fill(options, block_size, blocks, inodes, reserved);
        // A last group that its own metadata would fill is left out.
        let rest = data % u64::from(per_group);
        let table = inodes.div_ceil(block_size / INODE_SIZE);
        let geometry = crate::layout::geometry::Geometry::new(&sb);
        let overhead = u64::from(2 + table + geometry.base_blocks(groups - 1));
        if rest != 0 && groups == 1 && rest < overhead + 8 {
            return Err(too_small());
        }
        if rest == 0 || groups == 1 || rest >= overhead + 50 {
            return Ok((sb, journal_blocks(blocks, options)?));
        }
        blocks -= rest;
    }
}

fn inodes_per_group(
    len: u64,
    groups: u32,
    block_size: u32,
    options: &FormatOptions,
) -> Result<u32> {
    let ratio = match options.inodes {
        Inodes::Ratio(ratio) => ratio.max(1024),
        _ if len < 3 * MIB => 8192,
        _ if len < 512 * MIB => 4096,
        _ if len < 4 * TIB => 16_384,
        _ if len < 16 * TIB => 32_768,
        _ => 65_536,
    };
    let wanted = match options.inodes {
        Inodes::Count(count) => u64::from(count),
        _ => len / ratio,
    };
    let per_block = block_size / INODE_SIZE;
    // Whole blocks, and a multiple of eight: the bitmap's checksum covers bytes.
    let step = per_block.max(8);
    let most = (block_size * 8).min(u32::MAX / groups) / step * step;
    let least = u64::from(2 * FIRST_INO).div_ceil(groups.into());
    let per_group = wanted.div_ceil(groups.into()).max(least);
    let per_group = u32::try_from(per_group).unwrap_or(u32::MAX).min(most);
    if let Inodes::Count(count) = options.inodes
        && u64::from(per_group) * u64::from(groups) < u64::from(count)
    {
        return Err(refuse("so many inodes do not fit the filesystem's groups"));
    }
    Ok(per_group.next_multiple_of(step).min(most))
}

/// Descriptor blocks to reserve in every copy.
fn reserved_gdt_blocks(blocks: u64, groups: u32, block_size: u32) -> u16 {
    let largest = blocks.saturating_mul(GROWTH).min(u32::MAX.into());
    if blocks > u32::MAX.into() {
        return 0; // the resize inode's pointers have 32 bits
    }
    let per_block = u64::from(block_size / DESC_SIZE);
    let then = largest.div_ceil(u64::from(block_size) * 8).div_ceil(per_block);
    let now = u64::from(groups).div_ceil(per_block);
    // One block of pointers holds them all, past the ones in use.
    let pointers = u64::from(block_size / 4);
    then.saturating_sub(now).max(1).min(pointers.saturating_sub(now)) as u16
}

/// Blocks of the journal, 0 for none.
fn journal_blocks(blocks: u64, options: &FormatOptions) -> Result<u32> {
    const K: u64 = 1024;
    match options.journal {
        Journal::None => Ok(0),
        Journal::Blocks(count) if count < 1024 => Err(refuse("a journal has at least 1024 blocks")),
        Journal::Blocks(count) if u64::from(count) > blocks / 2 => {
            Err(refuse("a journal takes at most half of the filesystem"))
        }
        Journal::Blocks(count) => Ok(count),
        Journal::Default => Ok(match blocks {
            0..2048 => 0,
            2048..32_768 => 1024,
            b if b < 256 * K => 4096,
            b if b < 512 * K => 8192,
            b if b < 4096 * K => 16_384,
            b if b < 8192 * K => 32_768,
            b if b < 16_384 * K => 65_536,
            b if b < 32_768 * K => 131_072,
            _ => 262_144,
        }),
    }
}

/// Blocks of the orphan file, as mke2fs has them; 0 for none.
pub(super) fn orphan_file_blocks(blocks: u64, options: &FormatOptions) -> u32 {
    match blocks {
        _ if !options.orphan_file => 0,
        0..131_072 => 32,
        blocks => (blocks / 4096).min(512) as u32,
    }
}

fn features(reserved: u16, options: &FormatOptions) -> Features {
    let mut compat = Compat::EXT_ATTR.with(Compat::DIR_INDEX);
    if reserved > 0 {
        compat = compat.with(Compat::RESIZE_INODE);
    }
    if options.orphan_file {
        compat = compat.with(Compat::ORPHAN_FILE);
    }
    let mut incompat = Incompat::FILETYPE
        .with(Incompat::EXTENTS)
        .with(Incompat::SIXTY_FOUR_BIT)
        .with(Incompat::FLEX_BG);
    if options.csum_seed {
        incompat = incompat.with(Incompat::CSUM_SEED);
    }
    Features {
        compat,
        incompat,
        ro_compat: RoCompat::SPARSE_SUPER
            .with(RoCompat::LARGE_FILE)
            .with(RoCompat::HUGE_FILE)
            .with(RoCompat::DIR_NLINK)
            .with(RoCompat::EXTRA_ISIZE)
            .with(RoCompat::METADATA_CSUM),
    }
}

fn fill(
    options: &FormatOptions,
    block_size: u32,
    blocks: u64,
    inodes_per_group: u32,
    reserved: u16,
) -> Superblock {
    let mut sb = Superblock::blank();
    sb.set_features(features(reserved, options));
    let per_group = block_size * 8;
    let first = u32::from(block_size == 1024);
    let groups = blocks.saturating_sub(first.into()).div_ceil(per_group.into()) as u32;
    sb.set_s_inodes_count(groups.saturating_mul(inodes_per_group));
    sb.set_blocks_count(blocks);
    sb.set_r_blocks_count(blocks * u64::from(options.reserved_percent.min(50)) / 100);
    sb.set_s_first_data_block(first);
    sb.set_s_log_block_size(block_size.ilog2() - 10);
    sb.set_s_log_cluster_size(block_size.ilog2() - 10);
    sb.set_s_blocks_per_group(per_group);
    sb.set_s_clusters_per_group(per_group);
    sb.set_s_inodes_per_group(inodes_per_group);
    sb.set_s_max_mnt_count(u16::MAX);
    sb.set_s_state(STATE_VALID);
    sb.set_s_errors(1);
    sb.set_s_rev_level(1);
    sb.set_s_first_ino(FIRST_INO);
    sb.set_s_inode_size(INODE_SIZE as u16);
    sb.set_s_uuid(options.uuid);
    if options.csum_seed {
        sb.set_s_checksum_seed(crc32c(!0, &options.uuid));
    }
    let mut label = [0; 16];
    for (to, from) in label.iter_mut().zip(&options.label) {
        *to = *from;
    }
    sb.set_s_volume_name(label);
    sb.set_s_reserved_gdt_blocks(reserved);
    sb.set_hash_seed(options.hash_seed);
    sb.set_s_def_hash_version(1);
    sb.set_s_flags(FLAG_SIGNED_HASH);
    sb.set_s_desc_size(DESC_SIZE as u16);
    // user_xattr, acl
    sb.set_s_default_mount_opts(0x0c);
    sb.set_s_min_extra_isize(32);
    sb.set_s_want_extra_isize(32);
    sb.set_s_log_groups_per_flex(LOG_GROUPS_PER_FLEX);
    sb.set_s_checksum_type(1);
    let now = options.now.seconds.clamp(0, (1 << 40) - 1);
    let (low, high) = (now as u32, (now >> 32) as u8);
    sb.set_s_wtime(low);
    sb.set_s_wtime_hi(high);
    sb.set_s_mkfs_time(low);
    sb.set_s_mkfs_time_hi(high);
    sb.set_s_lastcheck(low);
    sb.set_s_lastcheck_hi(high);
    sb
}

/// The first sequence of the journal. On storage that held something before,
/// old log blocks must not seem to continue the new log: a number that
/// follows from the uuid keeps them apart.
pub(super) fn journal_sequence(options: &FormatOptions) -> u32 {
    if options.zeroed { 1 } else { crc32c(!0, &options.uuid) & 0x3fff_ffff | 1 }
}

fn too_small() -> Error {
    Error::NoSpace { what: "the disk is too small for a filesystem".to_owned() }
}

fn refuse(what: &str) -> Error {
    Error::Source { what: format!("these options of a new filesystem: {what}"), source: None }
}
