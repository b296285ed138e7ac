//! Linux's version.

use std::fmt;
use std::str::FromStr;

/// A version of Linux: its first two numbers, which is what features come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
}

/// A text that begins with no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's version cannot be read")]
pub struct Unreadable;

impl Release {
    /// The first that gives a hold of a socket's peer (`SO_PEERPIDFD`).
    pub const MINIMUM: Self = Self::new(6, 5);

    /// A version.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl FromStr for Release {
    type Err = Unreadable;

    /// Reads `6.12.9-amd64`, `6.5`, `6.5-rc1`.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(Unreadable),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let read = |text: &str| text.parse::<Release>();
        assert_eq!(read("6.12.9+bpo-cloud-amd64"), Ok(Release::new(6, 12)));
        assert_eq!(read("6.5-rc1"), Ok(Release::new(6, 5)));
        assert_eq!(read("7.0"), Ok(Release::new(7, 0)));
        assert!(read("6.12.9").unwrap() > Release::MINIMUM);
        assert!(read("6.1.0-40-amd64").unwrap() < Release::MINIMUM);
        assert!(read("7.0").unwrap() > Release::MINIMUM);
        for none in ["", "6", "x.5", "6.", "-6.5", "99999999999.1"] {
            assert_eq!(read(none), Err(Unreadable), "{none}");
        }
    }
}
