//! The state of a VM, as people see it.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, wire};

/// Where a VM is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmState {
    /// A record; never started.
    Created,
    /// A start is under way.
    Starting,
    /// The VMM runs.
    Running,
    /// A stop is under way.
    Stopping,
    /// It was stopped; its disks are kept.
    Stopped,
    /// The VMM ended on its own, or a start failed.
    Failed,
}

impl VmState {
    /// Every state with its word and its wire number.
    const TABLE: [(Self, &'static str, wire::daemon::VmState); 6] = [
        (Self::Created, "created", wire::daemon::VmState::Created),
        (Self::Starting, "starting", wire::daemon::VmState::Starting),
        (Self::Running, "running", wire::daemon::VmState::Running),
        (Self::Stopping, "stopping", wire::daemon::VmState::Stopping),
        (Self::Stopped, "stopped", wire::daemon::VmState::Stopped),
        (Self::Failed, "failed", wire::daemon::VmState::Failed),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

impl fmt::Display for VmState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for VmState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.1 == text)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("VM state", text, "not one of this version"))
    }
}

impl TryFrom<wire::daemon::VmState> for VmState {
    type Error = Invalid;

    fn try_from(wire: wire::daemon::VmState) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.2 == wire)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("VM state", "unspecified", "not one of this version"))
    }
}

impl From<VmState> for wire::daemon::VmState {
    fn from(state: VmState) -> Self {
        VmState::TABLE.iter().find(|row| row.0 == state).map_or(Self::Unspecified, |row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_the_wire_and_the_word() {
        for (state, word, number) in VmState::TABLE {
            assert_eq!(word.parse(), Ok(state));
            assert_eq!(VmState::try_from(number), Ok(state));
            assert_eq!(wire::daemon::VmState::from(state), number);
        }
        assert!(VmState::try_from(wire::daemon::VmState::Unspecified).is_err());
    }
}
