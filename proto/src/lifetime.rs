//! How long a VM lives.

use std::str::FromStr;

use crate::{Invalid, Seconds};

/// When a VM is removed whatever it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Only by somebody.
    Unlimited,
    /// After so long, which is not nothing.
    For(Seconds),
}

impl Lifetime {
    /// From its number of seconds, 0 for unlimited.
    ///
    /// # Errors
    /// When they are too many.
    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        if seconds == 0 { Ok(Self::Unlimited) } else { Seconds::new(seconds).map(Self::For) }
    }

    /// The number of seconds, 0 for unlimited.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::For(seconds) => seconds.get().into(),
        }
    }

    /// When it is over for one that begins at `now`, both in seconds since the epoch.
    #[must_use]
    pub fn end(self, now: i64) -> Option<i64> {
        match self {
            Self::Unlimited => None,
            Self::For(seconds) => Some(now.saturating_add(seconds.get().into())),
        }
    }
}

impl FromStr for Lifetime {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "never" {
            return Ok(Self::Unlimited);
        }
        let seconds: Seconds = text.parse()?;
        if seconds.get() == 0 {
            return Err(Invalid::new("lifetime", text, "use a time as in 30m or 2h, or never"));
        }
        Ok(Self::For(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_may_be_unlimited_and_is_never_nothing() {
        assert_eq!("never".parse(), Ok(Lifetime::Unlimited));
        for text in ["never", "2h", "1s"] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!(Lifetime::from_seconds(lifetime.seconds()), Ok(lifetime));
        }
        for text in ["0", "0s", "", "always", "2x"] {
            assert!(text.parse::<Lifetime>().is_err(), "{text}");
        }
        assert_eq!("2h".parse::<Lifetime>().unwrap().end(1_000), Some(8_200));
        assert_eq!(Lifetime::Unlimited.end(1_000), None);
    }
}
