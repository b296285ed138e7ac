//! Whether an image may be worked on: what it is, and who else has it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::disk::{Claim, claim};

/// Why an image is left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    /// It is not a file.
    #[error("the image is {what}")]
    NoFile { what: &'static str, hint: &'static str },
    /// Another `banger ext4` has it, or bangerd.
    #[error("another banger is working on the image")]
    Claimed,
    /// A VMM has it, or another program that locks what it works on.
    #[error("another program has the image locked")]
    Locked,
    /// The kernel has it.
    #[error("the image is attached as {}", device.display())]
    Attached { device: PathBuf },
    /// The host says no.
    #[error("cannot look at the image")]
    Host(#[source] io::Error),
}

impl ImageError {
    pub(super) fn hint(&self) -> String {
        match self {
            Self::NoFile { hint, .. } => (*hint).to_owned(),
            Self::Claimed => "try again when it has ended".to_owned(),
            Self::Locked => {
                "a VM that runs has its disks for itself: banger ls; copy files with banger cp"
                    .to_owned()
            }
            Self::Attached { device } => {
                let device = device.display();
                format!("unmount it and detach it: sudo umount {device}; sudo losetup -d {device}")
            }
            Self::Host(_) => String::new(),
        }
    }
}

/// Makes sure that the image is a file that nobody else works on, and keeps it so as long as
/// this process has it.
pub(super) fn take(image: &File, writes: bool) -> Result<(), ImageError> {
    let metadata = image.metadata().map_err(ImageError::Host)?;
    refuse_what_is_no_file(&metadata)?;
    let how = if writes { Claim::Alone } else { Claim::Shared };
    match claim(image, how) {
        Ok(true) => {}
        Ok(false) => return Err(ImageError::Claimed),
        Err(error) => return Err(ImageError::Host(error)),
    }
    if writes {
        lock(image)?;
    } else {
        look_for_locks(image)?;
    }
    match attached(&metadata) {
        // What the kernel does not change can be read beside it.
        Some((_, true)) if !writes => Ok(()),
        Some((device, _)) => Err(ImageError::Attached { device }),
        None => Ok(()),
    }
}

fn refuse_what_is_no_file(metadata: &Metadata) -> Result<(), ImageError> {
    let kind = metadata.file_type();
    let (what, hint) = if kind.is_file() {
        return Ok(());
    } else if kind.is_block_device() {
        let hint = "the kernel may have a device mounted: copy it into a file, and work on that";
        ("a block device", hint)
    } else if kind.is_dir() {
        ("a folder", "name the file that holds the filesystem")
    } else {
        ("no file", "name the file that holds the filesystem")
    };
    Err(ImageError::NoFile { what, hint })
}

/// Locks the file as VMMs do, so that none starts on it.
fn lock(image: &File) -> Result<(), ImageError> {
    match fcntl_lock(image, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(ImageError::Locked),
        // A filesystem without locks has none of others either.
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(ImageError::Host(error.into())),
    }
}

/// Refuses a file that a VMM has. Its locks are shared ones: only who asks for an exclusive
/// one meets them, which takes a descriptor for writing. A VMM of the same user's has one.
fn look_for_locks(image: &File) -> Result<(), ImageError> {
    let again = format!("/proc/self/fd/{}", image.as_fd().as_raw_fd());
    match File::options().read(true).write(true).open(again) {
        // Closing it gives the lock back, and a VM may start while a file is read.
        Ok(probe) => lock(&probe),
        Err(_) => Ok(()),
    }
}

/// The loop device that has the file, and whether that is read-only.
fn attached(image: &Metadata) -> Option<(PathBuf, bool)> {
    let same = |path: &Path| {
        let path = path.to_str()?.trim_end_matches('\n').trim_end_matches(" (deleted)");
        let found = fs::metadata(path).ok()?;
        ((found.dev(), found.ino()) == (image.dev(), image.ino())).then_some(())
    };
    for entry in fs::read_dir("/sys/block").ok()?.flatten() {
        let folder = entry.path();
        let Ok(backing) = fs::read_to_string(folder.join("loop/backing_file")) else { continue };
        if same(Path::new(&backing)).is_some() {
            let read_only = fs::read_to_string(folder.join("ro")).is_ok_and(|ro| ro.trim() == "1");
            return Some((Path::new("/dev").join(entry.file_name()), read_only));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    #[test]
    fn who_writes_is_alone_and_readers_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, "x").unwrap();
        let (one, two) = (open(&path), open(&path));
        take(&one, false).unwrap();
        take(&two, false).unwrap();
        assert!(matches!(take(&one, true), Err(ImageError::Claimed)));
        drop((one, two));
        let one = open(&path);
        take(&one, true).unwrap();
        assert!(matches!(take(&open(&path), false), Err(ImageError::Claimed)));
    }

    #[test]
    fn what_is_no_file_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refused = take(&File::open(folder.path()).unwrap(), false).unwrap_err();
        assert_eq!(refused.to_string(), "the image is a folder");
        let null = File::open("/dev/null").unwrap();
        assert!(matches!(take(&null, false), Err(ImageError::NoFile { .. })));
    }
}
