//! The work seed of an image: a small filesystem with the contents of its `/root`.

use std::path::Path;

use banger_ext4::{Batch, Error, FileKind, Filesystem, Flush, ImagePath, Limits};
use banger_ext4::{Ownership, copy_subtree};

use uuid::Uuid;

use super::format::format_options;
use super::fresh::Fresh;
use super::{DiskError, open_filesystem, work_seed_size};

/// What `/root` may hold at most: a seed is small, and an image may be hostile.
const LIMITS: Limits = Limits { depth: 128, entries: 1 << 20, bytes: 64 << 30 };

/// Builds the seed of the image `rootfs` at `seed`, which must not exist, and returns
/// its size in bytes. An image without `/root` gives an empty seed.
///
/// # Errors
/// [`DiskError`]; there is no seed then.
pub fn build_work_seed(rootfs: &Path, seed: &Path) -> Result<u64, DiskError> {
    let image = open_filesystem(rootfs)?;
    let read = DiskError::filesystem("read /root of", rootfs);
    let home = ImagePath::new("/root").and_then(|root| Ok((content_of(&image, &root)?, root)));
    let (content, home) = home.map_err(read)?;
    let size = work_seed_size(content.unwrap_or(0));
    let fresh = Fresh::begin(seed, size)?;
    let build = || {
        let disk = fresh.disk()?;
        let mut batch = Batch::create(disk, &format_options(Uuid::new_v4()))?;
        if content.is_some() {
            batch.ingest(
                &ImagePath::root(),
                &mut copy_subtree(&image, &home).limits(LIMITS),
                Ownership::Root,
            )?;
        }
        batch.fix_root()?;
        batch.commit(Flush::ProcessSafe)?;
        Ok(())
    };
    build().map_err(DiskError::filesystem("make", seed))?;
    fresh.finish()?;
    Ok(size)
}

/// Bytes of the files below `home`; `None` where it is no directory.
fn content_of(image: &Filesystem, home: &ImagePath) -> banger_ext4::Result<Option<u64>> {
    match image.stat(home) {
        Ok(stat) if stat.kind == FileKind::Directory => {}
        Ok(_) | Err(Error::NotFound { .. } | Error::WrongType { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes: u64 = 0;
    image.walk(home, &LIMITS, &mut |entry| {
        if entry.stat.kind == FileKind::Regular {
            bytes = bytes.saturating_add(entry.stat.size);
        }
        Ok(())
    })?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use banger_ext4::Attributes;

    use super::*;
    use crate::disk::{build_work_disk, filesystem_uuid};
    use crate::guest::work_disk_files;

    const MIB: u64 = 1 << 20;
    const ODD: Attributes = Attributes { mode: 0o640, uid: 1000, gid: 1001 };

    /// An image of 64 MiB; `fill` puts things into it.
    fn image(at: &Path, fill: impl FnOnce(&mut Batch)) {
        let fresh = Fresh::begin(at, 64 * MIB).unwrap();
        let disk = fresh.disk().unwrap();
        let mut batch = Batch::create(disk, &format_options(Uuid::new_v4())).unwrap();
        fill(&mut batch);
        batch.commit(Flush::ProcessSafe).unwrap();
        fresh.finish().unwrap();
    }

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    fn listing(disk: &Path) -> Vec<String> {
        let filesystem = open_filesystem(disk).unwrap();
        let mut lines = Vec::new();
        let mut visit = |entry: &banger_ext4::WalkEntry| {
            let stat = &entry.stat;
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            lines.push(format!("/{name} {:o} {}:{}", stat.mode, stat.uid, stat.gid));
            Ok(())
        };
        filesystem.walk(&ImagePath::root(), &LIMITS, &mut visit).unwrap();
        lines
    }

    #[test]
    fn a_seed_holds_the_home_of_root_and_a_work_disk_grows_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs.ext4");
        image(&rootfs, |batch| {
            batch.make_directory(&path("/root"), ODD).unwrap();
            batch.make_directory(&path("/root/lost+found"), ODD).unwrap();
            batch.write_file(&path("/root/.profile"), ODD, b"export A=1\n").unwrap();
            batch.write_file(&path("/etc-is-not-taken"), ODD, b"").unwrap();
        });
        let seed = work_seed_path_of(&rootfs);
        assert_eq!(build_work_seed(&rootfs, &seed).unwrap(), 512 * MIB);
        assert_eq!(seed.metadata().unwrap().len(), 512 * MIB);
        let expected = ["/ 755 0:0", "/.profile 640 0:0", "/lost+found 700 0:0"];
        assert_eq!(listing(&seed), expected);

        let disk = folder.path().join("work.ext4");
        let uuid = Uuid::new_v4();
        let size = banger_proto::Mib::new(2048).unwrap();
        build_work_disk(&disk, size, uuid, Some(&seed), &work_disk_files("ssh-ed25519 A", &[]))
            .unwrap();
        assert_eq!(filesystem_uuid(&disk).unwrap(), Some(uuid));
        assert_eq!(disk.metadata().unwrap().len(), 2048 * MIB);
        assert_eq!(
            listing(&disk),
            [
                "/ 755 0:0",
                "/.profile 640 0:0",
                "/.ssh 700 0:0",
                "/.ssh/authorized_keys 600 0:0",
                "/lost+found 700 0:0"
            ]
        );
        let again = build_work_disk(&disk, size, uuid, None, &[]);
        assert!(again.is_err(), "a disk that exists is never built again");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_image_without_a_home_gives_an_empty_seed() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs.ext4");
        image(&rootfs, |batch| batch.write_file(&path("/root"), ODD, b"no folder").unwrap());
        let seed = folder.path().join("seed");
        assert_eq!(build_work_seed(&rootfs, &seed).unwrap(), 512 * MIB);
        assert_eq!(listing(&seed), ["/ 755 0:0", "/lost+found 700 0:0"]);
    }

    #[test]
    fn a_damaged_image_gives_no_seed() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs.ext4");
        std::fs::write(&rootfs, vec![7; 1 << 20]).unwrap();
        assert!(build_work_seed(&rootfs, &folder.path().join("seed")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn work_seed_path_of(rootfs: &Path) -> std::path::PathBuf {
        crate::disk::work_seed_path(rootfs)
    }
}
