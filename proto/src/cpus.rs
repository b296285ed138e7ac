//! How many processors a VM has.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// A number of virtual processors, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(u8);

impl Cpus {
    const MAX: u32 = 64;
    const RULE: &'static str = "use a whole number from 1 to 64";

    /// `count` processors.
    ///
    /// # Errors
    /// When it is 0 or above 64.
    pub fn new(count: u32) -> Result<Self, Invalid> {
        u8::try_from(count)
            .ok()
            .filter(|&cpus| cpus > 0 && count <= Self::MAX)
            .map(Self)
            .ok_or_else(|| Invalid::new("number of processors", &count.to_string(), Self::RULE))
    }

    /// `count` processors, or the nearest number that is legal.
    #[must_use]
    pub const fn nearest(count: u8) -> Self {
        match count {
            0 => Self(1),
            65.. => Self(64),
            _ => Self(count),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Cpus {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map_err(|_| Invalid::new("number of processors", text, Self::RULE))
            .and_then(Self::new)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_sixty_four() {
        assert_eq!("64".parse::<Cpus>().unwrap().get(), 64);
        assert_eq!([0, 2, 65].map(|n| Cpus::nearest(n).get()), [1, 2, 64]);
        for bad in ["0", "65", "256", "-1", "two", ""] {
            assert!(bad.parse::<Cpus>().is_err(), "{bad}");
        }
    }
}
