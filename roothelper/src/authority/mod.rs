//! Whether a caller may: polkit's question and its answers.
//!
//! Everything that is not a clear yes is a no, and nothing is remembered from one question
//! to the next.

mod denied;
mod polkit;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;
mod subject;

use std::pin::Pin;

use banger_proto::roothelper::Interaction;

use crate::{Action, Caller};

pub use denied::Denied;
pub use polkit::{Patience, Polkit};

/// An answer that is waited for: yes, or why not.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<(), Denied>> + Send + 'a>>;

/// Who says whether a caller may. One of the two seams that tests stand in at.
pub trait Authority: Send + Sync + std::fmt::Debug {
    /// Asks. The answer is given within a bounded time; whoever no longer waits for it
    /// takes the question back.
    fn ask<'a>(&'a self, caller: &'a Caller, action: Action, interaction: Interaction)
    -> Asked<'a>;
}
