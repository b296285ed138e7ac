//! Lengths of time that people give.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Invalid;

/// A length of time in whole seconds, from 0 to a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(u32);

impl Seconds {
    /// The longest: 366 days.
    pub const MAX: Self = Self(366 * 86_400);
    const RULE: &'static str =
        "use a whole number of seconds, or units as in 90s, 5m, 1h30m or 2d, up to 366d";
    /// Units, the largest first, with their seconds.
    const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

    /// `count` seconds.
    ///
    /// # Errors
    /// Above [`Seconds::MAX`].
    pub fn new(count: u64) -> Result<Self, Invalid> {
        u32::try_from(count)
            .ok()
            .map(Self)
            .filter(|seconds| *seconds <= Self::MAX)
            .ok_or_else(|| Invalid::new("time", &count.to_string(), Self::RULE))
    }

    /// `count` seconds, or the longest time.
    #[must_use]
    pub const fn nearest(count: u32) -> Self {
        if count > Self::MAX.0 { Self::MAX } else { Self(count) }
    }

    /// The number of seconds.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The same as a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl FromStr for Seconds {
    type Err = Invalid;

    /// Each unit at most once, the larger ones first; a bare number is seconds.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("time", text, Self::RULE);
        let number = |digits: &str| -> Result<u64, Invalid> {
            // `parse` would take a sign too.
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| plain).ok_or_else(invalid)
        };
        let mut rest = text;
        let mut total = 0_u64;
        for (unit, seconds) in Self::UNITS {
            if let Some((digits, more)) = rest.split_once(unit) {
                let part = number(digits)?.checked_mul(seconds.into()).ok_or_else(invalid)?;
                total = total.checked_add(part).ok_or_else(invalid)?;
                rest = more;
            }
        }
        if text.is_empty() || (!rest.is_empty() && rest.len() != text.len()) {
            return Err(invalid());
        }
        let bare = if rest.is_empty() { 0 } else { number(rest)? };
        Self::new(total.saturating_add(bare)).map_err(|_| invalid())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, seconds) in Self::UNITS {
            if rest >= seconds {
                write!(formatter, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("1d2h3m4s", 93_784),
            ("366d", 366 * 86_400),
        ] {
            assert_eq!(text.parse::<Seconds>().unwrap().get(), seconds, "{text}");
        }
    }

    #[test]
    fn other_times_are_refused() {
        for text in [
            "",
            "s",
            "-1",
            "+1",
            "+1s",
            "1.5h",
            "1m1h",
            "1h1h",
            "5 m",
            "1h30",
            "30s1",
            "1w",
            "367d",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_as_it_can_be_typed() {
        for text in ["0s", "59s", "1m", "1m30s", "1h", "1d2h3m4s"] {
            assert_eq!(text.parse::<Seconds>().unwrap().to_string(), text);
        }
    }
}
