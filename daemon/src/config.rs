//! What the owner has configured: plain lists in the configuration folder.

use std::io;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file lists nothing.
    #[error("{} has no entries: add one, or remove the file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// An entry is not what it should be.
    #[error("{} has an entry that is no absolute path: {entry}", path.display())]
    NoPath {
        /// The file.
        path: PathBuf,
        /// The entry, escaped.
        entry: String,
    },
}

/// The entries of a list: a line each, trimmed; `#` begins a comment anywhere in a line,
/// blank lines count for nothing.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or(line).trim())
        .filter(|entry| !entry.is_empty())
}

/// Reads a list; `None` where there is no file.
fn list(path: &Path) -> Result<Option<Vec<String>>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    let list: Vec<_> = entries(&text).map(str::to_owned).collect();
    if list.is_empty() {
        return Err(ConfigError::Empty { path: path.to_owned() });
    }
    Ok(Some(list))
}

/// The folders that are searched for programs before the usual ones, from the file
/// `programs`.
///
/// # Errors
/// [`ConfigError`].
pub fn program_folders(config: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let path = config.join("programs");
    let folders = list(&path)?.unwrap_or_default();
    folders
        .into_iter()
        .map(|entry| {
            let folder = PathBuf::from(&entry);
            if folder.is_absolute() {
                Ok(folder)
            } else {
                let entry = entry.escape_default().to_string();
                Err(ConfigError::NoPath { path: path.clone(), entry })
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_people_write_it() {
        let text = "# all\r\n /opt/a \r\n\r\n/opt/b # the second\n\t\n#/opt/c\n/opt/d";
        assert_eq!(entries(text).collect::<Vec<_>>(), ["/opt/a", "/opt/b", "/opt/d"]);
    }

    #[test]
    fn folders_are_absolute_and_a_list_is_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert!(program_folders(folder.path()).unwrap().is_empty());
        let with = |text: &str| {
            std::fs::write(folder.path().join("programs"), text).unwrap();
            program_folders(folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(with("/a\n/b\n").unwrap(), [Path::new("/a"), Path::new("/b")]);
        let empty = with("# nothing\n").unwrap_err();
        assert!(empty.contains("programs") && empty.contains("no entries"), "{empty}");
        assert!(with("/a\nbin\n").unwrap_err().contains("bin"));
    }
}
