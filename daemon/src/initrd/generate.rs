//! Makes an initial RAM disk out of what an image has.

use std::io::{self, Write};

use banger_ext4::{Error, Filesystem, ImagePath};
use serde::{Deserialize, Serialize};

use super::INIT;
use super::archive::Archive;
use super::content::{self, ContentError};
use super::needs::{Module, NeedError, Tables, order};

/// Where kernels' modules are. One is mostly a link to the other.
const FOLDERS: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];
/// Longest of depmod's files, in bytes. The longest one of a distribution has about 1.5 MiB.
const LONGEST_TABLE: u64 = 16 << 20;
/// Most bytes of modules, unpacked, that are loaded.
const MOST: usize = 64 << 20;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    /// Nothing: all that is needed is built in.
    Unneeded,
    /// An initial RAM disk.
    Written {
        /// Modules in it.
        modules: usize,
        /// Bytes of it.
        bytes: u64,
    },
}

/// An initial RAM disk that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerateError {
    /// Its modules cannot be found.
    #[error("its kernel does not say which release it is")]
    NoRelease,
    /// There are none.
    #[error("there is no /lib/modules/{0} in it")]
    NoFolder(String),
    /// Something in the image cannot be read.
    #[error("{path} in it cannot be read")]
    Read {
        /// Where it is.
        path: String,
        /// What the filesystem's reader said.
        #[source]
        source: Error,
    },
    /// They cannot be told.
    #[error("the modules for its kernel {release} cannot be chosen")]
    Needs {
        /// Which one it is.
        release: String,
        /// What is missing or damaged.
        #[source]
        source: NeedError,
    },
    /// A module cannot be taken.
    #[error("its module {path} cannot be taken")]
    Content {
        /// Where it is.
        path: String,
        /// Why not.
        #[source]
        source: ContentError,
    },
    /// They are too many.
    #[error("the modules that its kernel needs have more than {} MiB", MOST >> 20)]
    Large,
    /// The file that it goes to fails.
    #[error("the initial RAM disk cannot be written")]
    Write(#[source] io::Error),
}

/// Makes the initial RAM disk of the kernel of this release, with its modules out of `rootfs`.
///
/// # Errors
/// [`GenerateError`]; what was written is of no use then.
pub(crate) fn generate(
    rootfs: &Filesystem,
    release: Option<&str>,
    to: &mut impl Write,
) -> Result<Made, GenerateError> {
    let release = release.ok_or(GenerateError::NoRelease)?;
    let folder = folder(rootfs, release)?;
    let table = |name: &str| -> Result<String, GenerateError> {
        let text = read(rootfs, &format!("{folder}/{name}"), LONGEST_TABLE);
        match text {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(GenerateError::Read { source: Error::NotFound { .. }, .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    };
    let [dependencies, builtin, builtin_facts, soft, aliases] = [
        table("modules.dep")?,
        table("modules.builtin")?,
        table("modules.builtin.modinfo")?,
        table("modules.softdep")?,
        table("modules.alias")?,
    ];
    let tables = Tables {
        dependencies: &dependencies,
        builtin: &builtin,
        builtin_facts: &builtin_facts,
        soft: &soft,
        aliases: &aliases,
    };
    let needs = |source| GenerateError::Needs { release: release.to_owned(), source };
    let modules = order(&tables).map_err(needs)?;
    if modules.is_empty() {
        return Ok(Made::Unneeded);
    }
    let mut contents = Vec::new();
    let mut room = MOST;
    for Module { name, path } in &modules {
        let path = format!("{folder}/{path}");
        let packed = read(rootfs, &path, content::MOST)?;
        let unpacked = content::unpacked(packed);
        let content = unpacked.map_err(|source| GenerateError::Content { path, source })?;
        room = room.checked_sub(content.len()).ok_or(GenerateError::Large)?;
        contents.push((name.as_str(), content));
    }
    let bytes = write(&contents, to).map_err(GenerateError::Write)?;
    Ok(Made::Written { modules: contents.len(), bytes })
}

fn write(modules: &[(&str, Vec<u8>)], to: &mut impl Write) -> io::Result<u64> {
    let mut archive = Archive::new(to);
    for folder in ["dev", "proc", "root", "modules"] {
        archive.folder(folder)?;
    }
    archive.file("init", 0o755, INIT)?;
    let order: String = modules.iter().flat_map(|(name, _)| [name, "\n"]).collect();
    archive.file("modules/order", 0o644, order.as_bytes())?;
    for (name, content) in modules {
        archive.file(&format!("modules/{name}.ko"), 0o644, content)?;
    }
    archive.finish()
}

/// The folder of the modules of this release.
fn folder(rootfs: &Filesystem, release: &str) -> Result<String, GenerateError> {
    for parent in FOLDERS {
        let path = format!("{parent}/{release}");
        match at(&path).and_then(|inside| rootfs.exists(&inside)) {
            Ok(true) => return Ok(path),
            Ok(false) => {}
            Err(source) => return Err(GenerateError::Read { path, source }),
        }
    }
    Err(GenerateError::NoFolder(release.to_owned()))
}

fn at(path: &str) -> Result<ImagePath, Error> {
    ImagePath::new(path)
}

fn read(rootfs: &Filesystem, path: &str, limit: u64) -> Result<Vec<u8>, GenerateError> {
    at(path)
        .and_then(|inside| rootfs.read_file(&inside, limit))
        .map_err(|source| GenerateError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
