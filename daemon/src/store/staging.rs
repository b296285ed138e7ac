//! Folders that appear whole, and disappear whole.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use banger_proto::paths::private_directory;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use super::DocumentError;
use super::claims::{Claim, Claims};

/// Beginning of the names of folders and files that are being made.
pub(crate) const NEW: &str = ".new-";
/// Name of the folder that holds what is being removed.
pub(crate) const GONE: &str = "gone";

/// A folder of the store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something cannot be done to a folder or a file.
    #[error("cannot {action} {}", path.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The final name is taken.
    #[error("{} exists already", path.display())]
    Exists {
        /// The final name.
        path: PathBuf,
    },
    /// A folder cannot be made private.
    #[error(transparent)]
    Private(#[from] banger_proto::paths::PathError),
    /// A document in it cannot be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl StoreError {
    /// Says what was tried on `path`, for `map_err`.
    pub(crate) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { action, path, source }
    }
}

/// A folder that is being made; removed when it is dropped unfinished.
#[derive(Debug)]
pub struct Staging {
    path: Option<PathBuf>,
    _claim: Claim,
}

impl Staging {
    /// Begins a folder beside its final place.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(parent: &Path, claims: &Claims) -> Result<Self, StoreError> {
        let path = parent.join(format!("{NEW}{}", Uuid::new_v4()));
        // Claimed before it is there to be seen.
        let claim = claims.claim(&path);
        DirBuilder::new().mode(0o700).create(&path).map_err(StoreError::on("make", &path))?;
        Ok(Self { path: Some(path), _claim: claim })
    }

    /// The folder under its temporary name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// Makes it durable and gives it its final name.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken; nothing is left then.
    pub fn finish(mut self, last: &Path) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        sync_all(&path)?;
        match renameat_with(CWD, &path, CWD, last, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                return Err(StoreError::Exists { path: last.to_owned() });
            }
            Err(error) => return Err(StoreError::on("name", last)(error.into())),
        }
        self.path = None;
        // The folders above may have been made for it; for those that were there it is cheap.
        last.ancestors().skip(1).take(3).filter(|above| above.parent().is_some()).try_for_each(sync)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a half-made folder stays until the next start");
        }
    }
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::on("make durable", path))
}

/// Makes a folder and the files in it durable, all at once: filesystems write many
/// files to their journal as fast as one.
fn sync_all(directory: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(directory).map_err(StoreError::on("list", directory))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(StoreError::on("list", directory))?;
    files.push(directory.to_owned());
    std::thread::scope(|scope| {
        let syncing: Vec<_> = files.iter().map(|file| scope.spawn(|| sync(file))).collect();
        syncing.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| {
                let failed = io::Error::other("the thread that does it failed");
                Err(StoreError::on("make durable", directory)(failed))
            })
        })
    })
}

/// A folder that has lost its name; its content, which may be gigabytes, is still there.
#[derive(Debug)]
#[must_use]
pub struct Discarded {
    path: PathBuf,
    _claim: Claim,
}

impl Discarded {
    /// Frees the space. What stays is swept by the next daemon.
    pub fn free(self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot free what was removed");
        }
        if let Some(gone) = self.path.parent().filter(|parent| parent.ends_with(GONE)) {
            // Holds something else that was removed, most likely.
            let _not_empty = fs::remove_dir(gone);
        }
    }
}

/// Where folders beside `path` go when they are removed.
fn gone(parent: &Path) -> PathBuf {
    parent.with_file_name(GONE)
}

/// Takes a folder's name away, which removes it for everybody, for good.
pub(super) fn discard(path: &Path, claims: &Claims) -> Result<Discarded, StoreError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    let (moved, claim) = match move_away(path, parent, claims) {
        Ok(moved) => moved,
        // No room for another folder, or it would lie on another filesystem: a name that is
        // swept will do.
        Err(error) => {
            let moved = parent.join(format!("{NEW}{}", Uuid::new_v4()));
            let claim = claims.claim(&moved);
            fs::rename(path, &moved).map_err(|_| error)?;
            (moved, claim)
        }
    };
    sync(parent)?;
    Ok(Discarded { path: moved, _claim: claim })
}

fn move_away(path: &Path, parent: &Path, claims: &Claims) -> Result<(PathBuf, Claim), StoreError> {
    let gone = gone(parent);
    let moved = gone.join(Uuid::new_v4().to_string());
    let claim = claims.claim(&moved);
    loop {
        private_directory(&gone)?;
        match fs::rename(path, &moved) {
            Ok(()) => break,
            // Somebody else's removal has just ended, and taken the folder along.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
            Err(error) => return Err(StoreError::on("remove", path)(error)),
        }
    }
    Ok((moved, claim))
}

/// The files and folders that are half made in a folder.
pub(super) fn unfinished_in(folder: &Path) -> Vec<PathBuf> {
    let new = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NEW))
    };
    entries(folder).filter(new).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Removes what was found unfinished.
pub fn sweep(unfinished: &[PathBuf]) {
    for path in unfinished {
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Ok(()) => tracing::info!(path = %path.display(), "removed what was unfinished"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot remove what is unfinished");
            }
        }
    }
}

/// The names of the finished folders in `parent`, sorted; none when it does not exist.
pub(super) fn names(parent: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::on("list", parent)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::on("list", parent))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes that the files directly in a folder take on the host; what cannot be looked
/// at counts as nothing.
#[must_use]
pub fn allocated_bytes(directory: &Path) -> u64 {
    fs::read_dir(directory).map_or(0, |entries| {
        entries
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.blocks() * 512)
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let last = parent.path().join("last");
        let staging = Staging::begin(parent.path(), &Claims::default()).unwrap();
        fs::write(staging.path().join("file"), "content").unwrap();
        assert!(!last.exists());
        staging.finish(&last).unwrap();
        assert_eq!(fs::read_to_string(last.join("file")).unwrap(), "content");

        let dropped = Staging::begin(parent.path(), &Claims::default()).unwrap();
        fs::write(dropped.path().join("file"), "content").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_taken_name_is_refused_and_nothing_is_left() {
        let parent = tempfile::tempdir().unwrap();
        let last = parent.path().join("last");
        // A folder without content would be replaced by a plain rename.
        fs::create_dir(&last).unwrap();
        let error =
            Staging::begin(parent.path(), &Claims::default()).unwrap().finish(&last).unwrap_err();
        assert!(matches!(error, StoreError::Exists { .. }), "{error}");
        assert_eq!(names(parent.path()).unwrap(), ["last"]);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_is_unfinished_is_swept() {
        let top = tempfile::tempdir().unwrap();
        let parent = top.path().join("vms");
        for name in [".new-1", "kept", "removed"] {
            fs::create_dir_all(parent.join(name)).unwrap();
            fs::write(parent.join(name).join("file"), "").unwrap();
        }
        fs::write(parent.join(".new-2"), "").unwrap();
        let claims = Claims::default();
        let discarded = discard(&parent.join("removed"), &claims).unwrap();
        assert_eq!(claims.all().len(), 1, "it is being freed");
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 3);
        let found = unfinished_in(&parent);
        assert_eq!(found.len(), 2, "{found:?}");
        sweep(&found);
        assert_eq!(names(&parent).unwrap(), ["kept"]);
        discarded.free();
        assert!(claims.all().is_empty());
        discard(&parent.join("kept"), &claims).unwrap().free();
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 1);
        assert!(unfinished_in(&parent.join("missing")).is_empty());
        assert!(names(&parent.join("missing")).unwrap().is_empty());
    }
}
