//! Paths inside an image, checked before anything is touched.

use crate::layout::directory::MAX_NAME;
use crate::{Error, Result};

/// An absolute path in a filesystem: no empty component, no `.`, no `..`, no
/// NUL, no name beyond 255 bytes. Any other byte is legal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath {
    bytes: Vec<u8>,
}

impl ImagePath {
    /// Checks a path. `/` alone is the root directory.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] says which rule is broken.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = path.as_ref();
        let refuse =
            |reason| Err(Error::InvalidPath { path: bytes.escape_ascii().to_string(), reason });
        let Some(rest) = bytes.strip_prefix(b"/") else {
            return refuse("a path in an image begins with `/`");
        };
        if bytes.contains(&0) {
            return refuse("a path cannot hold a NUL byte");
        }
        if !rest.is_empty() {
            for name in rest.split(|byte| *byte == b'/') {
                match name {
                    b"" => return refuse("a component is empty (`//`, or a `/` at the end)"),
                    b"." | b".." => return refuse("`.` and `..` are not allowed"),
                    name if name.len() > MAX_NAME => {
                        return refuse("a name is longer than 255 bytes");
                    }
                    _ => {}
                }
            }
        }
        Ok(Self { bytes: bytes.to_vec() })
    }

    /// The root directory.
    #[must_use]
    pub fn root() -> Self {
        Self { bytes: vec![b'/'] }
    }

    /// The names from the root down; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The last name; none for the root.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.components().last()
    }

    /// The path without its last name; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let name = self.name()?;
        let end = self.bytes.len() - name.len() - 1;
        Some(Self { bytes: self.bytes.get(..end.max(1)).unwrap_or_default().to_vec() })
    }

    /// This path and one more name.
    ///
    /// # Errors
    /// [`Error::InvalidPath`] when it is no name.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Self> {
        let name = name.as_ref();
        if name.contains(&b'/') || name.is_empty() {
            let path = name.escape_ascii().to_string();
            return Err(Error::InvalidPath { path, reason: "this is not a single name" });
        }
        let mut bytes = self.bytes.clone();
        if bytes.len() > 1 {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Display for ImagePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bytes.escape_ascii().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_name_an_entry_is_refused() {
        let long = vec![b'x'; 256];
        let long = [b"/a/", &long[..]].concat();
        let refused: &[&[u8]] =
            &[b"", b"a", b"//", b"/a//b", b"/a/", b"/a/./b", b"/..", b"/a\0b", &long];
        for path in refused {
            assert!(ImagePath::new(path).is_err(), "{}", path.escape_ascii());
        }
        let taken: &[&[u8]] = &[b"/", b"/a", b"/a b\n\"\\'", b"/...", b"/\xff"];
        for path in taken {
            assert_eq!(ImagePath::new(path).unwrap().as_bytes(), *path);
        }
    }

    #[test]
    fn paths_are_taken_apart_and_joined() {
        let path = ImagePath::new("/a/bc").unwrap();
        assert_eq!(path.name(), Some(&b"bc"[..]));
        assert_eq!(path.parent().unwrap().as_bytes(), b"/a");
        assert_eq!(path.parent().unwrap().parent().unwrap(), ImagePath::root());
        assert_eq!(ImagePath::root().parent(), None);
        assert_eq!(ImagePath::root().join("a").unwrap().join("bc").unwrap(), path);
        assert!(path.join("..").is_err() && path.join("x/y").is_err() && path.join("").is_err());
    }
}
