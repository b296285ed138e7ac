//! The numbers of a filesystem that is to grow: blocks, inodes, and where descriptors go.

use crate::layout::features::{Compat, Features, Incompat};
use crate::layout::geometry::Geometry;
use crate::layout::superblock::Superblock;
use crate::{Error, Result};

/// Blocks that a last group must have beside its own metadata, as resize2fs has it.
const LEAST_DATA: u64 = 50;

/// The superblock of the filesystem once it has grown to a disk of `len` bytes; `None` when
/// there is no room for more.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Incompatible`], and [`Error::Source`] for a smaller disk.
pub(super) fn target(sb: &Superblock, len: u64) -> Result<Option<Superblock>> {
    let old = Geometry::new(sb);
    let features = sb.features();
    if features.compat.has(Compat::SPARSE_SUPER2) {
        return Err(Error::Incompatible { feature: "sparse_super2, for growing,".to_owned() });
    }
    let mut blocks = len / u64::from(old.block_size);
    let most = if features.incompat.has(Incompat::SIXTY_FOUR_BIT) { 1 << 40 } else { 1 << 32 };
    if blocks >= most {
        let what = "the filesystem, in blocks,".to_owned();
        return Err(Error::TooLarge { what, limit: most - 1 });
    }
    loop {
        if blocks <= old.blocks_count {
            return Ok(None);
        }
        let new = sized(sb, &old, blocks)?;
        let geometry = Geometry::new(&new);
        let last = geometry.groups - 1;
        let rest = u64::from(geometry.group_blocks(last));
        let overhead = u64::from(geometry.base_blocks(last) + 2 + geometry.itable_blocks());
        if last < old.groups || rest >= overhead + LEAST_DATA {
            return Ok(Some(new));
        }
        blocks -= rest;
    }
}

fn sized(sb: &Superblock, old: &Geometry, blocks: u64) -> Result<Superblock> {
    let mut new = sb.clone();
    new.set_blocks_count(blocks);
    let groups = Geometry::new(&new).groups;
    let inodes = u64::from(groups) * u64::from(old.inodes_per_group);
    let Ok(inodes) = u32::try_from(inodes) else {
        let what = "the number of inodes".to_owned();
        return Err(Error::TooLarge { what, limit: u32::MAX.into() });
    };
    new.set_s_inodes_count(inodes);
    // The same part of it stays reserved for the superuser.
    let reserved = u128::from(sb.r_blocks_count()) * u128::from(blocks);
    new.set_r_blocks_count((reserved / u128::from(old.blocks_count.max(1))) as u64);
    make_room_for_descriptors(&mut new, old);
    Ok(new)
}

/// Takes reserved blocks for more descriptors, and goes over to `meta_bg` where they do not
/// suffice.
fn make_room_for_descriptors(new: &mut Superblock, old: &Geometry) {
    let Features { compat, mut incompat, ro_compat } = new.features();
    if incompat.has(Incompat::META_BG) {
        return;
    }
    let reserved = u32::from(old.reserved_gdt_blocks);
    let more = Geometry::new(new).gdt_blocks() - old.gdt_blocks();
    // The pointers of the resize inode have 32 bits.
    let reachable = new.blocks_count() <= u32::MAX.into() || !compat.has(Compat::RESIZE_INODE);
    if more <= reserved && reachable {
        new.set_s_reserved_gdt_blocks((reserved - more) as u16);
        return;
    }
    incompat = incompat.with(Incompat::META_BG);
    new.set_features(Features {
        compat: compat.without(Compat::RESIZE_INODE),
        incompat,
        ro_compat,
    });
    new.set_s_first_meta_bg(old.gdt_blocks() + reserved);
    new.set_s_reserved_gdt_blocks(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FormatOptions, Timestamp, plan};

    fn made(mib: u64) -> Superblock {
        let now = Timestamp { seconds: 1, nanoseconds: 0 };
        plan(mib << 20, &FormatOptions::new([1; 16], [2; 16], now)).unwrap().superblock
    }

    fn grown(sb: &Superblock, mib: u64) -> Superblock {
        target(sb, mib << 20).unwrap().unwrap()
    }

    #[test]
    fn descriptors_take_reserved_blocks_and_then_go_elsewhere() {
        let sb = made(1024);
        assert_eq!((sb.s_reserved_gdt_blocks(), Geometry::new(&sb).gdt_blocks()), (7, 1));
        let near = grown(&sb, 32 << 10);
        assert_eq!((near.s_reserved_gdt_blocks(), Geometry::new(&near).gdt_blocks()), (4, 4));
        let all = grown(&sb, 64 << 10);
        assert_eq!((all.s_reserved_gdt_blocks(), Geometry::new(&all).gdt_blocks()), (0, 8));
        let far = grown(&sb, 65 << 10);
        assert!(far.features().incompat.has(Incompat::META_BG));
        assert!(!far.features().compat.has(Compat::RESIZE_INODE));
        assert_eq!((far.s_reserved_gdt_blocks(), far.s_first_meta_bg()), (0, 8));
        for new in [&near, &all, &far] {
            let (old, new) = (Geometry::new(&sb), Geometry::new(new));
            for group in 0..old.groups {
                assert_eq!(old.base_blocks(group), new.base_blocks(group), "group {group}");
            }
        }
    }

    #[test]
    fn a_tiny_last_group_is_left_out_and_shrinking_is_nothing() {
        let sb = made(1024);
        assert!(target(&sb, 1024 << 20).unwrap().is_none());
        assert!(target(&sb, 1 << 20).unwrap().is_none());
        assert!(target(&sb, (1024 << 20) + 40 * 4096).unwrap().is_none());
        assert_eq!(grown(&sb, 1025 + 10).blocks_count(), 1035 * 256);
    }

    #[test]
    fn what_the_format_cannot_have_is_refused() {
        let refused = |len| target(&made(1024), len).unwrap_err().to_string();
        assert!(refused(u64::MAX).contains("in blocks"));
        assert!(refused(1 << 50).contains("number of inodes"));
    }
}
