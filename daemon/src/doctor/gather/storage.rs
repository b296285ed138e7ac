//! The filesystems that hold VMs and images.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use banger_proto::paths::Paths;
use rustix::fs::{Access, Mode, OFlags, access, ioctl_ficlone, open, statfs, statvfs};

use super::super::facts::{Filesystem, Storage};

/// The kernel's numbers of filesystems that are worth a name.
const KINDS: &[(u32, &str)] = &[
    (0xEF53, "ext4"),
    (0x9123_683E, "btrfs"),
    (0x5846_5342, "xfs"),
    (0x2FC1_2FC1, "zfs"),
    (0xCA45_1A4E, "bcachefs"),
    (0xF2F5_2010, "f2fs"),
    (0x0102_1994, "tmpfs"),
    (0x794C_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb"),
    (0x0102_1997, "9p"),
    (0x4D44, "vfat"),
    (0x2011_BAB0, "exfat"),
    (0x7366_746E, "ntfs"),
];

/// The folder itself, or the nearest above it that exists.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

pub(super) fn storage(paths: &Paths, disks: &[PathBuf], largest_image: u64) -> Storage {
    let (state, data) = (existing(&paths.state), existing(&paths.data));
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let same = device(state) == device(data);
    let metadata = disks.iter().filter_map(|disk| disk.metadata().ok());
    Storage {
        state: filesystem(&paths.state),
        data: filesystem(&paths.data),
        same,
        // Blocks are shared within one filesystem only.
        clones: if same { clones(state) } else { Some(false) },
        growth: metadata.map(|m| m.len().saturating_sub(m.blocks() * 512)).sum(),
        disks: disks.len(),
        largest_image,
    }
}

fn filesystem(folder: &Path) -> Filesystem {
    let at = existing(folder);
    let writable = access(at, Access::WRITE_OK | Access::EXEC_OK);
    let trouble = match writable {
        Err(error) => Some(format!("{} cannot be written to: {error}", at.display())),
        Ok(()) if at == folder => not_private(folder),
        Ok(()) => None,
    };
    let space = statvfs(at).ok();
    let space = space.as_ref();
    let kind = statfs(at).ok().and_then(|found| {
        // The field is as wide as the machine's words, and signed on some.
        let number = u32::try_from(found.f_type & 0xFFFF_FFFF).ok()?;
        KINDS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    });
    Filesystem {
        folder: folder.to_owned(),
        trouble,
        free: space.map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize)),
        total: space.map_or(0, |s| s.f_blocks.saturating_mul(s.f_frsize)),
        free_inodes: space.filter(|s| s.f_files > 0).map(|s| s.f_favail),
        kind: kind.unwrap_or("other"),
    }
}

/// Why a folder of ours would not be trusted.
fn not_private(folder: &Path) -> Option<String> {
    let metadata = folder.symlink_metadata().ok()?;
    let own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    (!own || metadata.mode() & 0o077 != 0)
        .then(|| format!("{} is not a folder of your own with mode 0700", folder.display()))
}

/// Whether files can share their blocks in a folder: tried with two that have no name.
fn clones(folder: &Path) -> Option<bool> {
    let nameless = || -> std::io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(open(folder, flags, Mode::from_raw_mode(0o600))?.into())
    };
    let (mut from, to) = (nameless().ok()?, nameless().ok()?);
    from.write_all(&[1; 4096]).ok()?;
    Some(ioctl_ficlone(&to, &from).is_ok())
}
