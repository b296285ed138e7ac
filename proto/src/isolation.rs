//! Which of the two ways a VM runs in.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, wire};

/// Recorded when a VM is created; never switches silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Everything as the owner: private copies of disks, user-mode network.
    Rootless,
    /// With the root helper: dm-snapshot, bridge and tap.
    System,
}

impl Isolation {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rootless => "rootless",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Isolation {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Rootless, Self::System]
            .into_iter()
            .find(|isolation| isolation.as_str() == text)
            .ok_or_else(|| Invalid::new("isolation", text, "use rootless or system"))
    }
}

impl TryFrom<wire::daemon::Isolation> for Isolation {
    type Error = Invalid;

    fn try_from(wire: wire::daemon::Isolation) -> Result<Self, Invalid> {
        match wire {
            wire::daemon::Isolation::Rootless => Ok(Self::Rootless),
            wire::daemon::Isolation::System => Ok(Self::System),
            wire::daemon::Isolation::Unspecified => {
                Err(Invalid::new("isolation", "unspecified", "use rootless or system"))
            }
        }
    }
}

impl From<Isolation> for wire::daemon::Isolation {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Rootless => Self::Rootless,
            Isolation::System => Self::System,
        }
    }
}
