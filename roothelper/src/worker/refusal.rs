//! Why the engine does not do what was asked.

use std::error::Error as StdError;

use banger_ext4::Error;

/// What a refusal lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request asks for what cannot be: a file in the place of a directory.
    Request,
    /// What is asked for is larger than the request allows.
    Limit,
    /// The filesystem has a feature that is not read or written.
    Incompatible,
    /// The filesystem contradicts itself.
    Damage,
    /// The filesystem has no room.
    Space,
    /// The device failed.
    Host,
}

impl Blame {
    const ALL: [Self; 6] =
        [Self::Request, Self::Limit, Self::Incompatible, Self::Damage, Self::Space, Self::Host];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|blame| blame.number() == number)
    }

    fn of_error(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } | Error::InvalidPath { .. } | Error::WrongType { .. } => {
                Self::Request
            }
            Error::TooLarge { .. } => Self::Limit,
            Error::Incompatible { .. } => Self::Incompatible,
            Error::Corrupt { .. } => Self::Damage,
            Error::NoSpace { .. } => Self::Space,
            _ => Self::Host,
        }
    }
}

/// Why the engine does not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it lies in.
    pub blame: Blame,
    /// The error and its causes, outermost first.
    pub chain: Vec<String>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { blame: Blame::of_error(&error), chain: chain(&error) }
    }
}

/// An error and its causes, outermost first.
pub(super) fn chain(error: &dyn StdError) -> Vec<String> {
    let mut chain = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blame_has_a_number_of_its_own() {
        for blame in Blame::ALL {
            assert_eq!(Blame::of(blame.number()), Some(blame));
        }
        assert_eq!(Blame::of(200), None);
    }
}
