//! A guest's files, written into a filesystem as part of one batch.

use banger_ext4::{Attributes, Batch, Error, Filesystem, ImagePath, Result};

use crate::guest::{Content, GuestFile, ImageReader};

/// Largest file of an image that is read to plan a guest's files, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;
/// Most entries of a directory that are looked at.
const MOST_NAMES: u64 = 10_000;

/// Adds a guest's files to a batch, in their order.
pub(super) fn write(batch: &mut Batch, files: &[GuestFile]) -> Result<()> {
    for file in files {
        let path = ImagePath::new(&file.path)?;
        if file.content == Content::Absent {
            match batch.remove(&path) {
                Ok(()) | Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
        }
        if let Some(parent) = path.parent() {
            let attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };
            if !batch.exists(&parent)? {
                batch.make_directories(&parent, attributes)?;
            }
        }
        let attributes = Attributes { mode: file.mode, uid: file.uid, gid: file.gid };
        match &file.content {
            Content::File(bytes) => batch.write_file(&path, attributes, bytes)?,
            Content::Symlink(target) => {
                batch.symlink(&path, target.as_bytes(), file.uid, file.gid)?;
            }
            Content::Directory => batch.make_directory(&path, attributes)?,
            Content::MountPoint => {
                if !batch.exists(&path)? {
                    batch.make_directory(&path, attributes)?;
                }
            }
            Content::Absent => {}
        }
    }
    Ok(())
}

/// Reads an image for [`crate::guest::ImageFacts`].
#[derive(Debug)]
pub(super) struct Reader<'a> {
    filesystem: &'a Filesystem,
    largest: u64,
}

impl<'a> Reader<'a> {
    /// Reads `filesystem`, of which no file is larger than `largest` bytes.
    pub(super) fn new(filesystem: &'a Filesystem, largest: u64) -> Self {
        Self { filesystem, largest }
    }
}

/// What is not there, or not of the kind that was asked for, is nothing.
fn absent<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. } | Error::WrongType { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl ImageReader for Reader<'_> {
    type Error = Error;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        absent(self.filesystem.read_file(&ImagePath::new(path)?, self.largest))
    }

    fn names(&mut self, path: &str) -> Result<Vec<String>> {
        let items = absent(self.filesystem.read_dir(&ImagePath::new(path)?, MOST_NAMES))?;
        let names = items.unwrap_or_default().into_iter();
        // A name that is no text is none of those that are looked for.
        Ok(names.filter_map(|item| String::from_utf8(item.name).ok()).collect())
    }

    fn exists(&mut self, path: &str) -> Result<bool> {
        self.filesystem.exists(&ImagePath::new(path)?)
    }
}
