//! What there is: in a folder of the host's, and in the guest's copy of it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::copy::{Line, PackError};

/// What kind of thing a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// What is known of a name without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permission bits, with set-uid and its like.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// Seconds since the epoch.
    pub(crate) mtime: i64,
}

/// Names below a folder, `/`-separated, without the folder itself.
pub(crate) type Listing = BTreeMap<Vec<u8>, Entry>;

impl Entry {
    fn new(mode: u32, size: u64, mtime: i64) -> Self {
        let kind = match mode & 0o170_000 {
            0o040_000 => Kind::Folder,
            0o100_000 => Kind::File,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        };
        Self { kind, mode: mode & 0o7777, size, mtime }
    }
}

/// What is below a folder of the host's.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn of_host(folder: &Path) -> Result<Listing, PackError> {
    let mut listing = Listing::new();
    let mut open = vec![(folder.to_owned(), Vec::new())];
    while let Some((folder, prefix)) = open.pop() {
        let failed = |path: &Path| {
            let path: PathBuf = path.to_owned();
            |source: io::Error| PackError::Read { path, source }
        };
        for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            let path = entry.path();
            let metadata = path.symlink_metadata().map_err(failed(&path))?;
            let name = [&prefix, entry.file_name().as_bytes()].concat();
            if metadata.is_dir() {
                open.push((path, [&name, b"/".as_slice()].concat()));
            }
            listing.insert(name, Entry::new(metadata.mode(), metadata.len(), metadata.mtime()));
        }
    }
    Ok(listing)
}

/// The line that lists `folder` in a guest. `token` begins each entry: no name holds it, since
/// nobody knows it before. A folder that is not there lists nothing.
pub(crate) fn line(folder: &OsStr, token: &str) -> OsString {
    Line::default()
        .text("t=")
        .word(folder)
        .text(
            "; [ -e \"$t\" ] || [ -L \"$t\" ] || exit 0; \
             [ -d \"$t\" ] || { echo 'the target is there and is no folder' >&2; exit 1; }; \
             cd -- \"$t\" && exec find . -exec stat -c '",
        )
        .text(token)
        .text(" %f %s %Y %n' {} +")
        .end()
}

/// What a guest listed.
///
/// # Errors
/// When it is no listing.
pub(crate) fn of_guest(text: &[u8], token: &str) -> io::Result<Listing> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the guest's listing is damaged");
    let mut listing = Listing::new();
    let mark = format!("{token} ");
    let mut rest = text;
    while !rest.is_empty() {
        let record = rest.strip_prefix(mark.as_bytes()).ok_or_else(wrong)?;
        let next = format!("\n{mark}");
        let end = record
            .windows(next.len())
            .position(|window| window == next.as_bytes())
            .unwrap_or_else(|| record.len().saturating_sub(1));
        let (record, after) = record.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let mut fields = record.splitn(4, |&byte| byte == b' ');
        let mut field = || fields.next().ok_or_else(wrong);
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).map_err(|_no_number| wrong());
        let mode = u32::from_str_radix(&text(field()?)?, 16).map_err(|_no_number| wrong())?;
        let size = text(field()?)?.parse().map_err(|_no_number| wrong())?;
        let mtime = text(field()?)?.parse().map_err(|_no_number| wrong())?;
        let name = field()?;
        if name == b"." {
            continue;
        }
        let name = name.strip_prefix(b"./").ok_or_else(wrong)?;
        listing.insert(name.to_vec(), Entry::new(mode, size, mtime));
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_listing_is_the_same_from_both_sides() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a b");
        std::fs::create_dir_all(root.join("sub/-x")).unwrap();
        std::fs::create_dir(root.join("a\nT 81a4 1 1 .")).unwrap();
        for name in ["new\nline", "a\nT 81a4 1 1 ./forged", "sub/q'\"$(id)", "sub/-x/\\"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("no where", root.join("link")).unwrap();
        std::fs::write(root.join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let here = of_host(&root).unwrap();
        assert_eq!(here.len(), 9);
        let mut shells = vec![vec!["sh"]];
        if std::fs::exists("/bin/busybox").unwrap() {
            shells.push(vec!["busybox", "sh"]);
        }
        for shell in shells {
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .arg("-c")
                .arg(line(root.as_os_str(), "T0KEN"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(of_guest(&output.stdout, "T0KEN").unwrap(), here, "{shell:?}");
        }
    }

    #[test]
    fn a_damaged_listing_is_refused() {
        for text in [
            "x",
            "T 81a4 1 1",
            "T 81a4 1 x ./a\n",
            "T zz 1 1 ./a\n",
            "T 81a4 1 1 /a\n",
            "T 81a4 1 1 ../a\n",
        ] {
            assert!(of_guest(text.as_bytes(), "T").is_err(), "{text}");
        }
        assert!(of_guest(b"", "T").unwrap().is_empty());
    }
}
