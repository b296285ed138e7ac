//! The name of an image, which is also the name of its folder.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// A name that matches `[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let good = bytes.len() <= 63
            && bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|byte| edge(byte) || b"._-".contains(byte));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                "image name",
                text,
                "use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit",
            ))
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_folder_names() {
        for good in ["debian", "debian-12", "ubuntu_24.04", "a"] {
            assert!(good.parse::<ImageName>().is_ok(), "{good:?}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", ".", "..", ".a", "a/", "a/b", "A", "-a", "a\0", too_long.as_str()] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }
}
