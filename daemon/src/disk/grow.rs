//! Making a disk larger, together with the filesystem on it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use banger_ext4::{Disk, Filesystem, Flush, Grown};
use banger_proto::Mib;

use super::{DiskError, claim, open};

/// Grows a disk that nobody uses, and the filesystem on it, to `size`. Where that was
/// begun before and broken off, by a crash too, it is brought to its end.
///
/// # Errors
/// [`DiskError`]; the disk is as before then. A smaller size than the filesystem has is
/// [`banger_ext4::Error::NoSpace`].
pub fn grow_disk(path: &Path, size: Mib) -> Result<Grown, DiskError> {
    let open = || File::options().read(true).write(true).open(path);
    let file = open().map_err(DiskError::file("open", path))?;
    claim::alone(&file, path)?;
    let bytes = size.bytes();
    let now = filesystem_bytes(&file).map_err(DiskError::filesystem("measure", path))?;
    if bytes < now {
        let what = format!("it has {} MiB, and a disk is never made smaller", now >> 20);
        let error = banger_ext4::Error::NoSpace { what };
        return Err(DiskError::filesystem("grow", path)(error));
    }
    // What an attempt that was broken off wrote behind the filesystem goes first: the
    // engine is told that it reads as zero.
    let lengthened = file.set_len(now).and_then(|()| file.set_len(bytes));
    let grown = lengthened.map_err(DiskError::file("lengthen", path)).and_then(|()| {
        let disk = open().map_err(DiskError::file("open", path))?;
        let grow =
            || banger_ext4::grow(&(open::disk(disk)? as Arc<dyn Disk>), true, Flush::PowerSafe);
        grow().map_err(DiskError::filesystem("grow", path))
    });
    if grown.is_err()
        && let Ok(now) = filesystem_bytes(&file)
        && let Err(error) = file.set_len(now)
    {
        tracing::warn!(%error, path = %path.display(), "cannot cut a disk that did not grow");
    }
    grown
}

/// Whether growing the disk to `size` was begun and not brought to its end. What is no
/// filesystem of ours, or longer than banger made it, is its user's affair.
///
/// # Errors
/// [`DiskError`] when the disk cannot be read.
pub fn is_half_grown(path: &Path, size: Mib) -> Result<bool, DiskError> {
    let file = File::open(path).map_err(DiskError::file("open", path))?;
    let length = file.metadata().map_err(DiskError::file("measure", path))?.len();
    if length != size.bytes() {
        return Ok(length < size.bytes());
    }
    let disk = open::disk(file).map_err(DiskError::filesystem("open", path))?;
    Ok(banger_ext4::can_grow(&*disk).unwrap_or(false))
}

/// Bytes that the filesystem takes of its disk, as they will be once its journal is
/// replayed.
fn filesystem_bytes(file: &File) -> banger_ext4::Result<u64> {
    let source = |source| banger_ext4::Error::Io { action: "open", offset: 0, source };
    let filesystem = Filesystem::open(open::disk(file.try_clone().map_err(source)?)?)?;
    let geometry = filesystem.geometry();
    Ok(geometry.offset(geometry.blocks_count))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::disk::build_work_disk;

    fn mib(mib: u64) -> Mib {
        Mib::new(mib).unwrap()
    }

    #[test]
    fn a_disk_grows_keeps_what_it_holds_and_never_shrinks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.ext4");
        let files = crate::guest::work_disk_files("ssh-ed25519 a key", &[]);
        build_work_disk(&path, mib(64), Uuid::new_v4(), None, &files).unwrap();
        let grown = grow_disk(&path, mib(3000)).unwrap();
        assert_eq!((grown.before >> 20, grown.after >> 20, grown.atomic), (64, 3000, true));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3000 << 20);
        assert!(!is_half_grown(&path, mib(3000)).unwrap());
        let again = grow_disk(&path, mib(3000)).unwrap();
        assert_eq!(again.before, again.after);
        let refused = grow_disk(&path, mib(100)).unwrap_err();
        let text = std::error::Error::source(&refused).unwrap().to_string();
        assert!(text.contains("3000 MiB"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3000 << 20);
        let filesystem = crate::disk::open_filesystem(&path).unwrap();
        let kept = banger_ext4::ImagePath::new("/.ssh/authorized_keys").unwrap();
        assert_eq!(filesystem.read_file(&kept, 100).unwrap(), b"ssh-ed25519 a key\n");
        assert!(banger_ext4::check(&filesystem).unwrap().is_clean());
    }

    #[test]
    fn what_was_broken_off_is_seen_and_brought_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.ext4");
        let half_grown = |size| is_half_grown(&path, mib(size)).unwrap();
        build_work_disk(&path, mib(64), Uuid::new_v4(), None, &[]).unwrap();
        assert!(!half_grown(64) && half_grown(128), "before the disk is lengthened");
        File::options().write(true).open(&path).unwrap().set_len(128 << 20).unwrap();
        assert!(half_grown(128), "before the filesystem is grown");
        assert!(!half_grown(96), "lengthened by somebody else");
        grow_disk(&path, mib(128)).unwrap();
        assert!(!half_grown(128));
        std::fs::write(&path, [1; 4096]).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(128 << 20).unwrap();
        assert!(!half_grown(128), "what its user made of it");
    }

    #[test]
    fn a_disk_that_cannot_grow_stays_as_long_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.ext4");
        build_work_disk(&path, mib(64), Uuid::new_v4(), None, &[]).unwrap();
        // More inodes than there are numbers for.
        grow_disk(&path, mib(16 << 20)).unwrap_err();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 64 << 20);
        assert!(
            banger_ext4::check(&crate::disk::open_filesystem(&path).unwrap()).unwrap().is_clean()
        );
    }
}
