//! Sizes of memory and disks.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// A size in MiB, from 1 MiB to 16 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mib(u64);

impl Mib {
    /// The largest size: 16 TiB, the largest ext4 with blocks of 4 KiB and 32-bit numbers.
    pub const MAX: Self = Self(16 << 20);
    const RULE: &'static str =
        "use a whole number of MiB, or one with the unit M, G or T, from 1M to 16T";

    /// `value` MiB.
    ///
    /// # Errors
    /// When it is 0 or above [`Mib::MAX`].
    pub fn new(value: u64) -> Result<Self, Invalid> {
        if (1..=Self::MAX.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Invalid::new("size", &value.to_string(), Self::RULE))
        }
    }

    /// `value` MiB, or the nearest size that is legal.
    #[must_use]
    pub const fn nearest(value: u64) -> Self {
        match value {
            0 => Self(1),
            _ if value > Self::MAX.0 => Self::MAX,
            _ => Self(value),
        }
    }

    /// The size as it can be typed: `2G`.
    #[must_use]
    pub fn typed(self) -> String {
        match self.0 {
            mib if mib % (1 << 20) == 0 => format!("{}T", mib >> 20),
            mib if mib % (1 << 10) == 0 => format!("{}G", mib >> 10),
            mib => format!("{mib}M"),
        }
    }

    /// The size in MiB.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 << 20
    }
}

impl FromStr for Mib {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("size", text, Self::RULE);
        let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(unit);
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" | "m" | "mib" => 1,
            "g" | "gib" => 1 << 10,
            "t" | "tib" => 1 << 20,
            _ => return Err(invalid()),
        };
        let number: u64 = digits.parse().map_err(|_| invalid())?;
        number.checked_mul(scale).and_then(|mib| Self::new(mib).ok()).ok_or_else(invalid)
    }
}

impl fmt::Display for Mib {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            mib if mib % (1 << 20) == 0 => (mib >> 20, "TiB"),
            mib if mib % (1 << 10) == 0 => (mib >> 10, "GiB"),
            mib => (mib, "MiB"),
        };
        write!(formatter, "{value} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, mib) in [
            ("1", 1),
            ("512", 512),
            ("2G", 2048),
            ("2GiB", 2048),
            ("1t", 1 << 20),
            ("16T", 16 << 20),
        ] {
            assert_eq!(text.parse::<Mib>().unwrap().get(), mib, "{text}");
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        for text in ["", "0", "-1", "1.5G", "G", "17T", "1K", "18446744073709551615T", "1 G", "1e3"]
        {
            assert!(text.parse::<Mib>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_that_is_typed_is_read_again() {
        for mib in [1, 1500, 2048, 3 << 20] {
            let size = Mib::new(mib).unwrap();
            assert_eq!(size.typed().parse(), Ok(size));
        }
        assert_eq!(Mib::new(2048).unwrap().typed(), "2G");
        assert_eq!([0, 7, u64::MAX].map(Mib::nearest), [Mib(1), Mib(7), Mib::MAX]);
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        let shown = |mib| Mib::new(mib).unwrap().to_string();
        assert_eq!(shown(512), "512 MiB");
        assert_eq!(shown(8192), "8 GiB");
        assert_eq!(shown(1 << 20), "1 TiB");
        assert_eq!(shown(1500), "1500 MiB");
    }
}
