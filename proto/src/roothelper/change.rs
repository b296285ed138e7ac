//! What a call changed about an object.

use super::numbers::numbers;
use crate::Invalid;

/// What a call changed about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was as asked already.
    None,
    /// It was made.
    Created,
    /// The caller may open it now.
    Lent,
    /// It was removed.
    Removed,
    /// Its removal waits for the last user to close it.
    RemovalPending,
}

numbers! { Change, "change"; None, Created, Lent, Removed, RemovalPending }

impl Change {
    /// Checks a change that a call may answer with.
    pub(super) fn among(number: i32, possible: &[Self]) -> Result<Self, Invalid> {
        let change = Self::from_wire(number)?;
        if possible.contains(&change) {
            Ok(change)
        } else {
            Err(Invalid::new("change", &format!("{change:?}"), "not one that this call makes"))
        }
    }
}
