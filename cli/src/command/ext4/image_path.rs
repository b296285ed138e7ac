//! A path in an image as it is typed: absolute; slashes at its end mean nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A path in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImagePath(OsString);

impl ImagePath {
    /// The parser for arguments.
    pub(super) fn parser() -> impl clap::builder::TypedValueParser<Value = Self> {
        use clap::builder::TypedValueParser;
        clap::builder::OsStringValueParser::new().try_map(Self::new)
    }

    fn new(given: OsString) -> Result<Self, &'static str> {
        let mut bytes = given.into_vec();
        if bytes.first() != Some(&b'/') {
            return Err("a path in an image begins with /");
        }
        while bytes.len() > 1 && bytes.last() == Some(&b'/') {
            bytes.pop();
        }
        Ok(Self(OsString::from_vec(bytes)))
    }

    pub(super) fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The last name; none for the root.
    pub(super) fn name(&self) -> Option<&OsStr> {
        let name = self.0.as_bytes().rsplit(|byte| *byte == b'/').next()?;
        (!name.is_empty()).then(|| OsStr::from_bytes(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_mean_nothing() {
        let path = |text: &str| ImagePath::new(text.into());
        assert_eq!(path("/etc//").unwrap().as_os_str(), "/etc");
        assert_eq!(path("/etc").unwrap().name().unwrap(), "etc");
        assert_eq!(path("//").unwrap(), path("/").unwrap());
        assert_eq!(path("/").unwrap().name(), None);
        assert!(path("etc").is_err() && path("").is_err());
    }
}
