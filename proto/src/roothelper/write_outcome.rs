//! How a batch on a guest's root filesystem ended.

use super::numbers::numbers;
use crate::Invalid;
use crate::wire::roothelper as wire;

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// All of it is on the device, and was read back.
    Applied {
        /// Changes.
        writes: u32,
        /// A crash in between would have left all or nothing.
        atomic: bool,
    },
    /// None of it is.
    NotApplied {
        /// What that lies in.
        blame: WriteBlame,
        /// The error and its causes, outermost first.
        chain: Vec<String>,
    },
    /// The device does not tell.
    Unknown {
        /// The error and its causes, outermost first.
        chain: Vec<String>,
    },
}

/// What a batch failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteBlame {
    /// It asks for what cannot be.
    Request,
    /// The filesystem has a feature that is not written.
    Incompatible,
    /// The filesystem contradicts itself.
    Damage,
    /// The filesystem has no room.
    Space,
    /// The worker died or the device failed.
    Host,
}

numbers! { WriteBlame = Ext4Blame, "reason"; Request, Incompatible, Damage, Space, Host }

impl TryFrom<wire::WriteExt4FilesResponse> for WriteOutcome {
    type Error = Invalid;

    fn try_from(wire: wire::WriteExt4FilesResponse) -> Result<Self, Invalid> {
        use wire::write_ext4_files_response::Outcome as Wire;
        Ok(match wire.outcome {
            None => return Err(Invalid::new("outcome", "", "not one of this version")),
            Some(Wire::Applied(applied)) => {
                Self::Applied { writes: applied.writes, atomic: applied.atomic }
            }
            Some(Wire::NotApplied(not)) => {
                Self::NotApplied { blame: WriteBlame::from_wire(not.blame)?, chain: not.chain }
            }
            Some(Wire::Unknown(unknown)) => Self::Unknown { chain: unknown.chain },
        })
    }
}

impl From<WriteOutcome> for wire::WriteExt4FilesResponse {
    fn from(outcome: WriteOutcome) -> Self {
        use wire::write_ext4_files_response::Outcome as Wire;
        let outcome = match outcome {
            WriteOutcome::Applied { writes, atomic } => {
                Wire::Applied(wire::Ext4Applied { writes, atomic })
            }
            WriteOutcome::NotApplied { blame, chain } => {
                Wire::NotApplied(wire::Ext4NotApplied { blame: blame.to_wire(), chain })
            }
            WriteOutcome::Unknown { chain } => Wire::Unknown(wire::Ext4Unknown { chain }),
        };
        Self { outcome: Some(outcome) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_the_wire_and_none_is_no_success() {
        let chain = vec!["cannot write".to_owned(), "no room".to_owned()];
        let mut outcomes = vec![
            WriteOutcome::Applied { writes: 8, atomic: true },
            WriteOutcome::Unknown { chain: chain.clone() },
        ];
        outcomes.extend(
            WriteBlame::ALL
                .iter()
                .map(|&blame| WriteOutcome::NotApplied { blame, chain: chain.clone() }),
        );
        for outcome in outcomes {
            let wire = wire::WriteExt4FilesResponse::from(outcome.clone());
            assert_eq!(WriteOutcome::try_from(wire), Ok(outcome));
        }
        assert!(WriteOutcome::try_from(wire::WriteExt4FilesResponse { outcome: None }).is_err());
    }
}
