//! What the worker is asked, as arguments of its program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use banger_ext4::{ImagePath, Result};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// What is in a directory, or the entry itself.
    List { path: ImagePath, recursive: bool },
    /// All that is known of an entry.
    Stat { path: ImagePath },
    /// A file's content, to standard output.
    Read { path: ImagePath },
    /// An entry with all below it, under a name in the folder that standard output is.
    Copy { path: ImagePath, name: Vec<u8> },
    /// What standard output is (a file or a folder), into the image.
    Put(Put),
    /// Whether the filesystem is in order.
    Check,
}

/// What is put where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put {
    /// The place, or a directory to put it in.
    pub(super) path: ImagePath,
    /// Its name in a directory; empty where it has none, or where a folder's content is meant.
    pub(super) name: Vec<u8>,
    pub(super) owner: (u32, u32),
    /// Permission bits of a file instead of its own.
    pub(super) mode: Option<u16>,
}

impl Request {
    /// Reads one; `None` for what makes no sense, an error for a path that is none.
    pub(super) fn parse(arguments: &[OsString]) -> Option<Result<Self>> {
        let words: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let path = |word: &OsStr| ImagePath::new(word.as_bytes());
        let (verb, rest) = words.split_first()?;
        Some(match (verb.to_str()?, rest) {
            ("ls", [at]) => path(at).map(|path| Self::List { path, recursive: false }),
            ("ls-recursive", [at]) => path(at).map(|path| Self::List { path, recursive: true }),
            ("stat", [at]) => path(at).map(|path| Self::Stat { path }),
            ("cat", [at]) => path(at).map(|path| Self::Read { path }),
            ("cp", [at, name]) => {
                path(at).map(|path| Self::Copy { path, name: name.as_bytes().to_vec() })
            }
            ("put", [at, name, uid, gid, mode]) => {
                let owner = (uid.to_str()?.parse().ok()?, gid.to_str()?.parse().ok()?);
                let mode = match mode.to_str()? {
                    "-" => None,
                    octal => Some(u16::from_str_radix(octal, 8).ok().filter(|m| *m <= 0o7777)?),
                };
                let name = name.as_bytes().to_vec();
                path(at).map(|path| Self::Put(Put { path, name, owner, mode }))
            }
            ("check", []) => Ok(Self::Check),
            _ => return None,
        })
    }

    /// Whether the image is changed.
    pub(super) const fn writes(&self) -> bool {
        matches!(self, Self::Put(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Result<Request>> {
        Request::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &[][..],
            &["ls"],
            &["ls", "/", "x"],
            &["rm", "/"],
            &["cp", "/"],
            &["put", "/", "x", "0", "0", "8"],
            &["put", "/", "x", "0", "0", "10000"],
            &["put", "/", "x", "-1", "0", "-"],
        ] {
            assert!(parse(words).is_none(), "{words:?}");
        }
        assert!(parse(&["ls", "etc"]).unwrap().is_err());
        let put = parse(&["put", "/etc", "x", "0", "7", "644"]).unwrap().unwrap();
        assert!(put.writes());
        let Request::Put(put) = put else { panic!("{put:?}") };
        assert_eq!((put.owner, put.mode), ((0, 7), Some(0o644)));
    }
}
