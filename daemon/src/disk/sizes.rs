//! How large disks are, and what their files are called.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// The work seed that belongs to the root filesystem image `rootfs`:
/// `X.ext4` -> `X.work-seed.ext4`, any other `X` -> `X.work-seed`, blank stays blank.
#[must_use]
pub fn work_seed_path(rootfs: &Path) -> PathBuf {
    let bytes = rootfs.as_os_str().as_bytes();
    if bytes.is_empty() {
        return PathBuf::new();
    }
    let seed = match bytes.strip_suffix(b".ext4") {
        Some(stem) => [stem, b".work-seed.ext4"].concat(),
        None => [bytes, b".work-seed"].concat(),
    };
    PathBuf::from(OsString::from_vec(seed))
}

/// Size in bytes of a work seed that holds `content` bytes: `2 * content + 256 MiB`, at
/// least 512 MiB, rounded up to a multiple of 64 MiB.
#[must_use]
pub fn work_seed_size(content: u64) -> u64 {
    let step = 64 * MIB;
    let size = content.saturating_mul(2).saturating_add(256 * MIB).max(512 * MIB);
    size.div_ceil(step).saturating_mul(step)
}

/// Size in MiB of an image's root filesystem when nobody chose one: twice the bytes of
/// the tar it comes from, at least 8 GiB, in whole GiB. It is sparse: what is not used
/// takes no space.
#[must_use]
pub fn default_rootfs_size(tar_bytes: Option<u64>) -> u64 {
    let gib = 1024 * MIB;
    let wanted = tar_bytes.unwrap_or(0).saturating_mul(2).max(8 * gib);
    (wanted.div_ceil(gib) * 1024).min(banger_proto::Mib::MAX.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_work_seed_follows_the_rule() {
        for (rootfs, seed) in [
            ("/a/rootfs.ext4", "/a/rootfs.work-seed.ext4"),
            ("rootfs.ext4", "rootfs.work-seed.ext4"),
            ("/a/rootfs.img", "/a/rootfs.img.work-seed"),
            ("/a.ext4/rootfs", "/a.ext4/rootfs.work-seed"),
            ("x.ext4.ext4", "x.ext4.work-seed.ext4"),
            (".ext4", ".work-seed.ext4"),
            ("x.EXT4", "x.EXT4.work-seed"),
            ("", ""),
        ] {
            assert_eq!(work_seed_path(Path::new(rootfs)), Path::new(seed), "{rootfs}");
        }
    }

    #[test]
    fn the_size_of_a_work_seed_follows_the_rule() {
        for (content, mib) in [
            (0, 512),
            (1, 512),
            (128 * MIB, 512),
            (128 * MIB + 1, 576),
            (160 * MIB, 576),
            (160 * MIB + 1, 640),
            (1024 * MIB, 2304),
        ] {
            assert_eq!(work_seed_size(content), mib * MIB, "{content}");
        }
        assert!(work_seed_size(u64::MAX) >= u64::MAX - 64 * MIB);
    }

    #[test]
    fn a_root_filesystem_has_room_beyond_its_tar() {
        assert_eq!(default_rootfs_size(None), 8192);
        assert_eq!(default_rootfs_size(Some(4 << 30)), 8192);
        assert_eq!(default_rootfs_size(Some((4 << 30) + 1)), 9216);
        assert_eq!(default_rootfs_size(Some(u64::MAX)), banger_proto::Mib::MAX.get());
    }
}
