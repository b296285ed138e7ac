//! Which network a VM has.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, wire::daemon as wire};

/// Which network a VM has, for all its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A way out, and the ways in that are published.
    #[default]
    User,
    /// No card at all: only the console leads there.
    None,
}

impl Network {
    const TABLE: [(Self, &'static str, wire::Network); 2] =
        [(Self::User, "user", wire::Network::User), (Self::None, "none", wire::Network::None)];
    const RULE: &'static str = "use user or none";

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.1 == text)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("network", text, Self::RULE))
    }
}

impl TryFrom<wire::Network> for Network {
    type Error = Invalid;

    fn try_from(wire: wire::Network) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.2 == wire)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("network", "unspecified", Self::RULE))
    }
}

impl From<Network> for wire::Network {
    fn from(network: Network) -> Self {
        Network::TABLE.iter().find(|row| row.0 == network).map_or(Self::Unspecified, |row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_survives_the_wire_and_the_word() {
        for (network, word, number) in Network::TABLE {
            assert_eq!(word.parse(), Ok(network));
            assert_eq!(Network::try_from(number), Ok(network));
            assert_eq!(wire::Network::from(network), number);
        }
        assert!("bridge".parse::<Network>().is_err());
        assert!(Network::try_from(wire::Network::Unspecified).is_err());
    }
}
