//! A copy of a disk image that shares its blocks where the filesystem can, and keeps
//! its holes where it cannot.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, copy_file_range, fstatvfs, ioctl_ficlone, seek};
use rustix::io::Errno;

/// How a copy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// The copy shares its blocks with the original.
    Cloned,
    /// So many bytes of data were copied; holes stayed holes.
    Data {
        /// Bytes that were copied.
        bytes: u64,
    },
}

/// A copy that was not made. There is no target then, unless it was there before.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target exists.
    #[error("{} exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The original cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The original.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The copy would not fit.
    #[error(
        "a copy of {} needs {} MiB, and {} MiB are free",
        from.display(), needed >> 20, free >> 20
    )]
    NoRoom {
        /// The original.
        from: PathBuf,
        /// Bytes of data in it.
        needed: u64,
        /// Bytes that are free for the user on the target's filesystem.
        free: u64,
    },
    /// The copy failed.
    #[error("cannot copy {} to {}", from.display(), to.display())]
    Copy {
        /// The original.
        from: PathBuf,
        /// The target.
        to: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How much is asked of the kernel at once: large enough to be rare, small enough that
/// whoever waits hears of it several times a second.
const PIECE: u64 = 32 << 20;
/// How much is read at once where the kernel does not copy by itself.
const BUFFER: usize = 1 << 20;

/// Copies `from` to `to`, which must not exist. Durable on return; permission bits are
/// those of the original. Blocks the calling thread.
///
/// # Errors
/// [`CopyError`]; a failed copy leaves no target.
pub fn copy_preferring_clone(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    copy(from, to, true, false, &mut |_, _| {})
}

/// As [`copy_preferring_clone`], but the copy may still be on its way to the disk: for
/// one that is made anew unless [`make_durable`] has returned. With `force` it is tried
/// even where it does not seem to fit: some filesystems compress. `progress` hears how many
/// bytes of data were copied, and of how many; of a clone it hears nothing.
///
/// # Errors
/// [`CopyError`]; a failed copy leaves no target.
pub fn copy_for_now(
    from: &Path,
    to: &Path,
    force: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, CopyError> {
    copy(from, to, false, force, progress)
}

/// Makes a file durable, and its name.
///
/// # Errors
/// What the system said.
pub fn make_durable(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn copy(
    from: &Path,
    to: &Path,
    durable: bool,
    force: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, CopyError> {
    let exists = || CopyError::Exists { path: to.to_owned() };
    let failed = |source| CopyError::Copy { from: from.to_owned(), to: to.to_owned(), source };
    let source =
        File::open(from).map_err(|source| CopyError::Open { path: from.to_owned(), source })?;
    // Before gigabytes are copied for nothing; the rename below decides.
    if to.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let directory = to.parent().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let target = tempfile::Builder::new().prefix(".new-").tempfile_in(directory).map_err(failed)?;
    let copied = if try_clone(&source, target.as_file()).map_err(failed)? {
        Copied::Cloned
    } else {
        let (needed, free) = room(&source, target.as_file()).map_err(failed)?;
        if needed > free && !force {
            return Err(CopyError::NoRoom { from: from.to_owned(), needed, free });
        }
        let bytes =
            copy_data(&source, target.as_file(), &mut |done| progress(done, needed.max(done)))
                .map_err(failed)?;
        Copied::Data { bytes }
    };
    let finish = || {
        target.as_file().set_permissions(source.metadata()?.permissions())?;
        if durable { target.as_file().sync_all() } else { Ok(()) }
    };
    finish().map_err(failed)?;
    target.persist_noclobber(to).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error.error),
    })?;
    if durable {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(copied)
}

/// Makes the target share the original's blocks, where both are on one filesystem that can.
fn try_clone(source: &File, target: &File) -> io::Result<bool> {
    match ioctl_ficlone(target, source) {
        Ok(()) => Ok(true),
        // Another filesystem, or one that cannot: the ways in which kernels say so.
        Err(
            Errno::OPNOTSUPP
            | Errno::NOTTY
            | Errno::INVAL
            | Errno::XDEV
            | Errno::NOSYS
            | Errno::PERM
            | Errno::TXTBSY,
        ) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Bytes of data in the original, and bytes that are free where the target is.
fn room(source: &File, target: &File) -> io::Result<(u64, u64)> {
    let filesystem = fstatvfs(target)?;
    let free = filesystem.f_bavail.saturating_mul(filesystem.f_frsize);
    Ok((source.metadata()?.blocks() * 512, free))
}

/// Copies the data; holes stay holes. `done` hears how many bytes there are already.
fn copy_data(source: &File, target: &File, done: &mut dyn FnMut(u64)) -> io::Result<u64> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut bytes = 0;
    let mut at = 0;
    while let Some((start, end)) = next_data(source, at, length)? {
        copy_extent(source, target, start, end, &mut |copied| done(bytes + copied))?;
        bytes += end - start;
        at = end;
    }
    Ok(bytes)
}

/// The first extent of data at or after `at`. A filesystem that knows no holes says
/// that all is data.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        // Nothing but a hole until the end.
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, length))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?.min(length);
    Ok((start < end).then_some((start, end)))
}

fn copy_extent(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
    copied: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let piece = usize::try_from((end - from).min(PIECE)).unwrap_or(BUFFER);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), piece) {
            // The file became shorter: its end is a hole in the copy.
            Ok(0) => return Ok(()),
            Ok(_) => copied(from - start),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                return copy_by_hand(source, target, from, end, &mut |by_hand| {
                    copied(from - start + by_hand);
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(
    source: &File,
    target: &File,
    start: u64,
    end: u64,
    copied: &mut dyn FnMut(u64),
) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; BUFFER];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let Some(piece) = buffer.get_mut(..wanted) else { return Ok(()) };
        let count = source.read_at(piece, at)?;
        if count == 0 {
            return Ok(());
        }
        target.write_all_at(piece.get(..count).unwrap_or_default(), at)?;
        at += count as u64;
        copied(at - start);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// 64 MiB with data at its beginning, in its middle and at its end.
    fn sparse(folder: &Path) -> PathBuf {
        let path = folder.join("original");
        let file = File::create(&path).unwrap();
        file.set_len(64 * MIB).unwrap();
        file.write_all_at(b"beginning", 0).unwrap();
        file.write_all_at(&vec![7; 3 * 1_000_000], 20 * MIB + 5).unwrap();
        file.write_all_at(b"end", 64 * MIB - 3).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        file.sync_all().unwrap();
        path
    }

    fn same(a: &Path, b: &Path) -> bool {
        let read = |path| {
            let mut bytes = Vec::new();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        read(a) == read(b)
    }

    #[test]
    fn a_copy_has_the_same_bytes_holes_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let original = sparse(folder.path());
        let copy = folder.path().join("copy");
        let copied = copy_preferring_clone(&original, &copy).unwrap();
        assert!(same(&original, &copy));
        let metadata = copy.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        assert_eq!(metadata.len(), 64 * MIB);
        assert!(metadata.blocks() * 512 < 5 * MIB, "{} blocks", metadata.blocks());
        if let Copied::Data { bytes } = copied {
            assert!((3_000_000..5 * MIB).contains(&bytes), "{bytes}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn to_another_filesystem_holes_stay_holes_too() {
        let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
        let folder = tempfile::tempdir().unwrap();
        let original = sparse(folder.path());
        let copy = other.path().join("copy");
        copy_preferring_clone(&original, &copy).unwrap();
        assert!(same(&original, &copy));
        assert!(copy.metadata().unwrap().blocks() * 512 < 5 * MIB);
    }

    #[test]
    fn copying_by_hand_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let original = sparse(folder.path());
        let mut target = tempfile::tempfile().unwrap();
        let mut told = Vec::new();
        let file = File::open(original).unwrap();
        copy_by_hand(&file, &target, 20 * MIB, 20 * MIB + 2_500_000, &mut |done| told.push(done))
            .unwrap();
        assert_eq!(told, [MIB, 2 * MIB, 2_500_000]);
        target.rewind().unwrap();
        let mut bytes = Vec::new();
        target.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, 20 * MIB + 2_500_000);
        assert!(bytes[20 << 20..][5..].iter().all(|&byte| byte == 7));
    }

    #[test]
    fn a_copy_tells_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let original = sparse(folder.path());
        let mut told = Vec::new();
        let copy = folder.path().join("copy");
        let copied =
            copy_for_now(&original, &copy, false, &mut |done, all| told.push((done, all))).unwrap();
        match copied {
            Copied::Cloned => assert_eq!(told, []),
            Copied::Data { bytes } => {
                assert!(told.is_sorted() && told.len() >= 3, "an extent is told of: {told:?}");
                assert_eq!(told.last().unwrap().0, bytes);
                assert!(told.iter().all(|(done, all)| done <= all), "{told:?}");
            }
        }
    }

    #[test]
    fn a_file_of_nothing_but_a_hole_is_copied_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("original");
        File::create(&original).unwrap().set_len(8 * MIB).unwrap();
        let copy = folder.path().join("copy");
        let copied = copy_preferring_clone(&original, &copy).unwrap();
        assert!(matches!(copied, Copied::Cloned | Copied::Data { bytes: 0 }), "{copied:?}");
        assert_eq!(copy.metadata().unwrap().len(), 8 * MIB);
    }

    #[test]
    fn a_target_that_exists_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let original = sparse(folder.path());
        let copy = folder.path().join("copy");
        File::create(&copy).unwrap().write_all(b"mine").unwrap();
        let error = copy_preferring_clone(&original, &copy).unwrap_err();
        assert!(matches!(error, CopyError::Exists { .. }), "{error}");
        assert_eq!(std::fs::read(&copy).unwrap(), b"mine");
        // A link to nowhere is a name that is taken too.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(copy_preferring_clone(&original, &link).is_err());
    }

    #[test]
    fn a_failed_copy_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        let missing = folder.path().join("missing");
        let error = copy_preferring_clone(&missing, &copy).unwrap_err();
        assert!(matches!(error, CopyError::Open { .. }), "{error}");
        // A folder can be opened and not be copied.
        let error = copy_preferring_clone(folder.path(), &copy).unwrap_err();
        assert!(matches!(error, CopyError::Copy { .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
