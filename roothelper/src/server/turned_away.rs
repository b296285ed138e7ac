//! Who is not let in, and what they are told.

use super::admission::Full;
use crate::{NotACaller, OwnerUid};

/// Why a connection was closed before anything of it was read.
#[derive(Debug, thiserror::Error)]
pub enum TurnedAway {
    /// It is nobody who may ask.
    #[error(transparent)]
    Nobody(#[from] NotACaller),
    /// There is no place.
    #[error("{why}: user {uid}")]
    Full {
        /// Whose it was.
        uid: OwnerUid,
        /// Which places there are none of.
        why: Full,
    },
}
