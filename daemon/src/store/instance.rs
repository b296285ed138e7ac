//! One daemon a user: a lock in the state folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The right to be the user's daemon, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Instance {
    _lock: File,
}

/// Why this process cannot be the user's daemon.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another process is.
    #[error("bangerd runs already{}", holder.map(|pid| format!(" as process {pid}")).unwrap_or_default())]
    Held {
        /// Its process id, when it could be told.
        holder: Option<u32>,
    },
    /// The lock cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Instance {
    /// Whether a daemon holds the lock; nothing is made and nothing taken.
    #[must_use]
    pub fn is_held(state: &Path) -> bool {
        // Trying to take it, for an instant, could keep a daemon from starting.
        let Ok(metadata) = state.join("bangerd.lock").metadata() else { return false };
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        // The filesystem's own number is another one for some: the file's is enough.
        let place = format!(":{}", metadata.ino());
        locks.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(1) == Some(&"FLOCK")
                && fields.get(3) == Some(&"WRITE")
                && fields.get(5).is_some_and(|at| at.ends_with(&place))
        })
    }

    /// The process of the daemon that holds the lock; nothing where there is none, or where it
    /// could not note itself.
    #[must_use]
    pub fn holder(state: &Path) -> Option<u32> {
        let noted =
            || std::fs::read_to_string(state.join("bangerd.lock")).ok()?.trim().parse().ok();
        Self::is_held(state).then(noted)?
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`InstanceError::Held`] when another process holds it.
    pub fn lock(state: &Path) -> Result<Self, InstanceError> {
        let path = state.join("bangerd.lock");
        let failed = |source| InstanceError::Lock { path: path.clone(), source };
        // The file is never removed: a lock on a file without a name would hold off nobody.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Who holds it is a courtesy: without it the refusal still stands.
                let _unknown = (&file).take(16).read_to_string(&mut text);
                return Err(InstanceError::Held { holder: text.trim().parse().ok() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        // In place, where a full disk has room for it already.
        let mut note = || -> io::Result<()> {
            file.rewind()?;
            writeln!(file, "{:<15}", std::process::id())?;
            file.set_len(16)
        };
        // A full disk must not keep anybody from removing what fills it.
        if note().is_err() {
            let _says_nothing = file.set_len(0);
        }
        Ok(Self { _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Instance::is_held(folder.path()));
        let first = Instance::lock(folder.path()).unwrap();
        assert_eq!(Instance::holder(folder.path()), Some(std::process::id()));
        match Instance::lock(folder.path()) {
            Err(InstanceError::Held { holder }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert_eq!(Instance::holder(folder.path()), None);
        Instance::lock(folder.path()).unwrap();
    }
}
