//! A disk that is being made: it gets its name when it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_ext4::FileDisk;
use tempfile::NamedTempFile;

use super::{DiskError, open};

/// A sparse file under a temporary name, removed when it is dropped unfinished.
#[derive(Debug)]
pub(super) struct Fresh {
    file: NamedTempFile,
    last: PathBuf,
}

impl Fresh {
    /// Begins a disk of `size` bytes beside its final place `last`.
    pub(super) fn begin(last: &Path, size: u64) -> Result<Self, DiskError> {
        let directory = last.parent().unwrap_or_else(|| Path::new("/"));
        let file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(directory)
            .map_err(DiskError::file("make", last))?;
        file.as_file().set_len(size).map_err(DiskError::file("make", last))?;
        Ok(Self { file, last: last.to_owned() })
    }

    /// The disk for the engine.
    pub(super) fn disk(&self) -> banger_ext4::Result<Arc<FileDisk>> {
        let file = self.file.as_file().try_clone().map_err(|source| banger_ext4::Error::Io {
            action: "open",
            offset: 0,
            source,
        })?;
        open::disk(file)
    }

    /// Makes its content durable and gives it its name, which must be free. That it has
    /// this name becomes durable with the folder: without it there is no disk yet.
    pub(super) fn finish(self) -> Result<(), DiskError> {
        let last = &self.last;
        self.file.as_file().sync_all().map_err(DiskError::file("make durable", last))?;
        self.file
            .persist_noclobber(last)
            .map_err(|error| DiskError::file("name", last)(error.error))?;
        Ok(())
    }
}
