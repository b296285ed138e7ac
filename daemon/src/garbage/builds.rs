//! The folders in which packages are installed: outside the owner's folders, since the
//! users of a build's namespace must pass through, and named so that they are known again.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Where they are.
const PARENT: &str = "/var/tmp";

/// Names the builds of one state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFolder {
    prefix: String,
}

impl BuildFolder {
    /// The folders of the daemon whose state is in `state`.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        // FNV-1a: tells the daemons of one user apart, and keeps nothing secret.
        let hash = state
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let uid = rustix::process::geteuid().as_raw();
        Self { prefix: format!("banger-build-{uid}-{hash:016x}-") }
    }

    /// The path of a new one, which is not made yet.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(PARENT).join(format!("{}{}", self.prefix, Uuid::new_v4()))
    }

    /// Makes one, for others to pass through.
    ///
    /// # Errors
    /// What the system said.
    pub fn make(path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o711).create(path)?;
        // The daemon's umask has taken the right to pass through away.
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o711))
    }

    /// Those that are there and belong to this user.
    #[must_use]
    pub fn existing(&self) -> Vec<PathBuf> {
        let us = rustix::process::geteuid().as_raw();
        let entries = std::fs::read_dir(PARENT).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.prefix))
            .filter(|entry| entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == us))
            .map(|entry| entry.path())
            .collect()
    }

    /// The folder that `text` names, if it is one of these.
    pub(super) fn named_in(&self, text: &[u8]) -> Option<PathBuf> {
        let start = format!("{PARENT}/{}", self.prefix);
        let at = text.windows(start.len()).position(|part| part == start.as_bytes())?;
        let end = at + start.len() + Uuid::nil().to_string().len();
        Some(PathBuf::from(std::str::from_utf8(text.get(at..end)?).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builds_of_a_daemon_are_told_from_anothers() {
        let ours = BuildFolder::of(Path::new("/home/ann/.local/state/banger"));
        let others = BuildFolder::of(Path::new("/home/ann/elsewhere/banger"));
        let path = ours.path();
        let environment = format!("LANG=C\0TMPDIR={}\0HOME=/", path.display());
        assert_eq!(ours.named_in(environment.as_bytes()), Some(path));
        assert_eq!(others.named_in(environment.as_bytes()), None);
        assert_eq!(ours.named_in(b"TMPDIR=/var/tmp"), None);
    }

    #[test]
    fn what_is_made_is_found_and_can_be_passed_through() {
        let state = tempfile::tempdir().unwrap();
        let builds = BuildFolder::of(state.path());
        assert!(builds.existing().is_empty());
        let path = builds.path();
        BuildFolder::make(&path).unwrap();
        let found = builds.existing();
        let mode = path.metadata().unwrap().mode() & 0o7777;
        std::fs::remove_dir(&path).unwrap();
        assert_eq!((found, mode), (vec![path], 0o711));
    }
}
