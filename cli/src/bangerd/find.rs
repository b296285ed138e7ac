//! Where bangerd's program is.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The program's file name.
const NAME: &str = "bangerd";

/// Where packages put it, when it is not beside the command line.
const INSTALLED: &[&str] = &["/usr/local/bin", "/usr/libexec/banger", "/usr/bin"];

/// The folders to look into: that of this very program first, so that a build never
/// starts another build's daemon.
fn folders() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(INSTALLED.iter().map(PathBuf::from))
        // A relative folder would be another one in every working directory.
        .chain(env::split_paths(&path).filter(|folder| folder.is_absolute()))
        .collect()
}

fn find_in(folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(NAME)).find(|path| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// The path of bangerd's program.
///
/// # Errors
/// The folders that were looked into.
pub(crate) fn find() -> Result<PathBuf, Vec<PathBuf>> {
    let folders = folders();
    find_in(&folders).ok_or(folders)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_that_can_run_is_taken() {
        let base = tempfile::tempdir().unwrap();
        let folders: Vec<_> = ["a", "b", "c", "d"].iter().map(|f| base.path().join(f)).collect();
        for folder in &folders[1..] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(NAME), "").unwrap();
        }
        assert_eq!(find_in(&folders), None, "none of them can run");
        for folder in &folders[2..] {
            fs::set_permissions(folder.join(NAME), PermissionsExt::from_mode(0o755)).unwrap();
        }
        assert_eq!(find_in(&folders), Some(folders[2].join(NAME)));
    }

    #[test]
    fn the_own_folder_comes_first() {
        let own = env::current_exe().unwrap();
        assert_eq!(folders().first().map(PathBuf::as_path), own.parent());
    }
}
