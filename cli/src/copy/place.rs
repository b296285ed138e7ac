//! What `cp` is given: a file of the host's, one of a VM's, or a stream.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use banger_proto::VmRef;

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard input or output.
    Stream,
    /// A path on the host.
    Host(PathBuf),
    /// A path in a guest; relative to root's home.
    Guest(VmRef, GuestFile),
}

/// A path in a guest, with what its end means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestFile(OsString);

impl Place {
    /// Reads one as it was typed: `VM:PATH` is a guest's, all else is the host's. A path of the
    /// host's with a colon is written with a slash before it.
    pub(crate) fn parse(given: &OsStr) -> Self {
        if given == "-" {
            return Self::Stream;
        }
        let bytes = given.as_bytes();
        if let Some(colon) = bytes.iter().position(|&byte| byte == b':')
            && let (vm, path) = bytes.split_at(colon)
            && let Some(vm) = std::str::from_utf8(vm).ok().and_then(|vm| vm.parse().ok())
        {
            let path = path.get(1..).unwrap_or_default();
            return Self::Guest(vm, GuestFile::new(path));
        }
        Self::Host(given.into())
    }
}

/// Whether a path says that its content is meant, and not itself: it ends with `.` or `..`.
pub(crate) fn means_content(path: &[u8]) -> bool {
    path.is_empty()
        || path.iter().all(|&byte| byte == b'/')
        || matches!(path.rsplit(|&byte| byte == b'/').next(), Some(b"." | b".."))
}

/// The last component, whatever slashes follow it.
pub(crate) fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
    let path = path.get(..end).unwrap_or_default();
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

impl GuestFile {
    /// The path as given; an empty one is root's home.
    pub(crate) fn new(path: &[u8]) -> Self {
        let mut safe = Vec::new();
        if !path.starts_with(b"/") {
            // No path of ours is taken for an option.
            safe.extend_from_slice(b"./");
        }
        safe.extend_from_slice(path);
        Self(OsString::from_vec(safe))
    }

    /// The path, which begins with `/` or `./`.
    pub(crate) fn path(&self) -> &OsStr {
        &self.0
    }

    /// The folder that holds it.
    pub(crate) fn parent(&self) -> OsString {
        let bytes = self.0.as_bytes();
        let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
        let before = bytes.get(..end).unwrap_or_default();
        let slash = before.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        OsString::from_vec(bytes.get(..slash).unwrap_or_default().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(vm: &str, path: &str) -> Place {
        Place::Guest(vm.parse().unwrap(), GuestFile::new(path.as_bytes()))
    }

    #[test]
    fn a_colon_after_a_name_makes_it_a_guests() {
        for (given, place) in [
            ("-", Place::Stream),
            ("web:/etc/a b", guest("web", "/etc/a b")),
            ("web:", guest("web", "")),
            ("web:x:y", guest("web", "x:y")),
            ("./web:x", Place::Host("./web:x".into())),
            ("/web:x", Place::Host("/web:x".into())),
            ("Web:x", Place::Host("Web:x".into())),
            (":x", Place::Host(":x".into())),
            ("a b", Place::Host("a b".into())),
        ] {
            assert_eq!(Place::parse(given.as_ref()), place, "{given}");
        }
    }

    #[test]
    fn paths_are_taken_apart() {
        for (path, content, name, parent) in [
            ("/a/b", false, "b", "/a/"),
            ("/a/b//", false, "b", "/a/"),
            ("/a", false, "a", "/"),
            ("-a", false, "-a", "./"),
            ("a/b", false, "b", "./a/"),
            ("a/.", true, ".", "./a/"),
            ("..", true, "..", "./"),
            ("", true, "", ""),
            ("/", true, "", ""),
        ] {
            assert_eq!(means_content(path.as_bytes()), content, "{path}");
            assert_eq!(base(path.as_bytes()), name.as_bytes(), "{path}");
            if !content {
                assert_eq!(GuestFile::new(path.as_bytes()).parent(), parent, "{path}");
            }
        }
    }
}
