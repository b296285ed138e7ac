//! A versioned JSON document that is whole at every instant.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The members of a JSON object.
pub type Members = Map<String, Value>;

/// One step from a version to the next. It works on plain JSON, since the types of
/// today say nothing about the documents of yesterday.
pub type Migration = fn(&mut Members);

/// What is kept as a document.
pub trait Document: Serialize + DeserializeOwned {
    /// What it is, for people.
    const NOUN: &'static str;
    /// The steps from version 1 to the newest.
    const MIGRATIONS: &'static [Migration];
    /// The version that is written.
    const VERSION: u64 = Self::MIGRATIONS.len() as u64 + 1;
}

/// A document that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not hold such a document.
    #[error("{} is not a {noun}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should have held.
        noun: &'static str,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by a banger from the future.
    #[error(
        "{} has version {found} and this banger knows up to {known}; use the newer banger again",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The newest version that is known.
        known: u64,
    },
}

/// Reads a document, brought up to date.
///
/// # Errors
/// [`DocumentError`]; a missing file is [`DocumentError::Read`] with `NotFound`.
pub fn read<D: Document>(path: &Path) -> Result<D, DocumentError> {
    let bytes = std::fs::read(path)
        .map_err(|source| DocumentError::Read { path: path.to_owned(), source })?;
    let content = |source| DocumentError::Content { path: path.to_owned(), noun: D::NOUN, source };
    let mut members: Members = serde_json::from_slice(&bytes).map_err(content)?;
    let version = match members.remove("version").as_ref().and_then(Value::as_u64) {
        Some(version @ 1..) => version,
        _ => return Err(content(serde::de::Error::custom("no version is stated"))),
    };
    let steps = usize::try_from(version - 1).ok().and_then(|done| D::MIGRATIONS.get(done..));
    let Some(steps) = steps else {
        return Err(DocumentError::Newer {
            path: path.to_owned(),
            found: version,
            known: D::VERSION,
        });
    };
    for step in steps {
        step(&mut members);
    }
    serde_json::from_value(Value::Object(members)).map_err(content)
}

/// Writes a document in place of the one before. Its content is durable before it gets
/// its name, so that after a power cut there is this document or the one before, and
/// after the end of this process always this one.
///
/// # Errors
/// [`DocumentError::Write`]; the document before is then still there.
pub fn write<D: Document>(path: &Path, document: &D) -> Result<(), DocumentError> {
    let failed = |source| DocumentError::Write { path: path.to_owned(), source };
    text(document).and_then(|text| replace(path, &text)).map_err(failed)
}

/// As [`write()`], and durable under its name on return: after a power cut it is this document.
///
/// # Errors
/// [`DocumentError::Write`]; which of the two documents a power cut leaves is not known then.
pub(super) fn write_lasting<D: Document>(path: &Path, document: &D) -> Result<(), DocumentError> {
    write(path, document)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| DocumentError::Write { path: path.to_owned(), source })
}

/// Writes a document into a folder that is made durable as a whole later.
///
/// # Errors
/// [`DocumentError::Write`].
pub(super) fn write_new<D: Document>(path: &Path, document: &D) -> Result<(), DocumentError> {
    let failed = |source| DocumentError::Write { path: path.to_owned(), source };
    text(document)
        .and_then(|text| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(path)?.write_all(&text)
        })
        .map_err(failed)
}

fn text<D: Document>(document: &D) -> io::Result<Vec<u8>> {
    let mut value = serde_json::to_value(document)?;
    if let Value::Object(members) = &mut value {
        members.insert("version".into(), D::VERSION.into());
    }
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        colour: String,
        size: u32,
    }

    impl Document for Thing {
        const NOUN: &'static str = "thing";
        const MIGRATIONS: &'static [Migration] = &[
            |members| {
                if let Some(color) = members.remove("color") {
                    members.insert("colour".into(), color);
                }
            },
            |members| {
                members.insert("size".into(), 1.into());
            },
        ];
    }

    fn thing() -> Thing {
        Thing { colour: "red".into(), size: 3 }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        write(&path, &Thing { size: 2, ..thing() }).unwrap();
        write(&path, &thing()).unwrap();
        assert_eq!(read::<Thing>(&path).unwrap(), thing());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"version\": 3"));
    }

    #[test]
    fn older_versions_are_brought_up_to_date_and_newer_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing.json");
        let from = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read::<Thing>(&path)
        };
        let expected = Thing { colour: "red".into(), size: 1 };
        assert_eq!(from(r#"{"version":1,"color":"red"}"#).unwrap(), expected);
        assert_eq!(from(r#"{"version":2,"colour":"red"}"#).unwrap(), expected);
        assert_eq!(from(r#"{"version":3,"colour":"red","size":3}"#).unwrap(), thing());
        let newer = from(r#"{"version":4,"colour":"red","size":3}"#).unwrap_err();
        assert!(matches!(newer, DocumentError::Newer { found: 4, known: 3, .. }), "{newer}");
        for broken in [
            "",
            "[]",
            r#"{"colour":"red","size":3}"#,
            r#"{"version":0,"colour":"red","size":3}"#,
            r#"{"version":3,"colour":"red","size":3,"more":1}"#,
            r#"{"version":18446744073709551615}"#,
        ] {
            assert!(from(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_write_that_fails_leaves_the_document_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("thing.json");
        assert!(matches!(write(&path, &thing()), Err(DocumentError::Write { .. })));
    }
}
