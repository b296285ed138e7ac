//! A path inside a guest's filesystem.

use std::fmt;

use crate::Invalid;

/// An absolute path of plain components: no empty one, no `.` or `..`, no NUL, none above
/// 255 bytes. The bytes need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(Vec<u8>);

impl GuestPath {
    /// Longest path in bytes, as `PATH_MAX` of Linux has it with its NUL.
    const MAX: usize = 4095;

    /// Checks the bytes of a path.
    ///
    /// # Errors
    /// Names the rule that the path breaks.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Invalid> {
        let bytes = bytes.into();
        match Self::broken_rule(&bytes) {
            None => Ok(Self(bytes)),
            Some(rule) => Err(Invalid::new("guest path", &String::from_utf8_lossy(&bytes), rule)),
        }
    }

    fn broken_rule(bytes: &[u8]) -> Option<&'static str> {
        let Some(rest) = bytes.strip_prefix(b"/") else {
            return Some("begin with /");
        };
        if bytes.len() > Self::MAX {
            return Some("use at most 4095 bytes");
        }
        if bytes.contains(&0) {
            return Some("leave out NUL");
        }
        if rest.is_empty() {
            return None;
        }
        rest.split(|&byte| byte == b'/').find_map(|component| match component {
            b"" => Some("leave out empty components"),
            b"." | b".." => Some("leave out . and .."),
            long if long.len() > 255 => Some("use names of at most 255 bytes"),
            _ => None,
        })
    }

    /// The bytes of the path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_absolute_paths_are_taken_whatever_their_bytes() {
        for good in [&b"/"[..], b"/etc/fstab", b"/a b/'\"\\\n", b"/\xff\xfe", b"/..a/b..", b"/..."]
        {
            assert!(GuestPath::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn every_other_path_is_refused() {
        let long_name = [b"/".as_slice(), &[b'a'; 256]].concat();
        let long_path = b"/a".repeat(2048);
        let bad: [&[u8]; 11] = [
            b"",
            b"etc",
            b"//",
            b"/etc/",
            b"/a//b",
            b"/.",
            b"/../etc/shadow",
            b"/etc/../../x",
            b"/a\0b",
            &long_name,
            &long_path,
        ];
        for path in bad {
            assert!(GuestPath::new(path).is_err(), "{path:?}");
        }
    }
}
