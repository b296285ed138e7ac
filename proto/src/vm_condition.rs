//! What can be waited for.

use std::fmt;
use std::str::FromStr;

use crate::{Invalid, wire::daemon as wire};

/// What a VM is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VmCondition {
    /// It does not run any more, or is removed.
    #[default]
    Stopped,
    /// Its guest has booted.
    Running,
    /// Its sshd answers now.
    Ssh,
}

impl VmCondition {
    const TABLE: [(Self, &'static str, wire::VmCondition); 3] = [
        (Self::Stopped, "stopped", wire::VmCondition::Stopped),
        (Self::Running, "running", wire::VmCondition::Running),
        (Self::Ssh, "ssh", wire::VmCondition::Ssh),
    ];
    const RULE: &'static str = "use stopped, running or ssh";

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }
}

impl fmt::Display for VmCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for VmCondition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.1 == text)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("condition", text, Self::RULE))
    }
}

impl TryFrom<wire::VmCondition> for VmCondition {
    type Error = Invalid;

    fn try_from(wire: wire::VmCondition) -> Result<Self, Invalid> {
        Self::TABLE
            .iter()
            .find(|row| row.2 == wire)
            .map(|row| row.0)
            .ok_or_else(|| Invalid::new("condition", "unspecified", Self::RULE))
    }
}

impl From<VmCondition> for wire::VmCondition {
    fn from(condition: VmCondition) -> Self {
        VmCondition::TABLE
            .iter()
            .find(|row| row.0 == condition)
            .map_or(Self::Unspecified, |row| row.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_survives_the_wire_and_the_word() {
        for (condition, word, number) in VmCondition::TABLE {
            assert_eq!(word.parse(), Ok(condition));
            assert_eq!(VmCondition::try_from(number), Ok(condition));
            assert_eq!(wire::VmCondition::from(condition), number);
        }
        assert!("up".parse::<VmCondition>().is_err());
        assert!(VmCondition::try_from(wire::VmCondition::Unspecified).is_err());
    }
}
