//! Why a disk could not be made or changed.

use std::io;
use std::path::{Path, PathBuf};

use super::CopyError;

/// Work on a disk that failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be opened, made or named.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The disk.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The filesystem on it refuses.
    #[error("cannot {action} the filesystem on {}", path.display())]
    Filesystem {
        /// What was tried.
        action: &'static str,
        /// The disk.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: banger_ext4::Error,
    },
    /// Another program works on it.
    #[error("another program works on {}", path.display())]
    InUse {
        /// The disk.
        path: PathBuf,
    },
    /// A copy failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl DiskError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(super) fn filesystem(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(banger_ext4::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Filesystem { action, path, source }
    }
}
