//! What has no owner any more: found, judged, removed.
//!
//! ```text
//! survey(paths) ─> Found ─> decide(found, claimed) ─> Finding, Finding, ... ─> remove(finding)
//! files, processes           pure: what is what, why, what to do                the daemon alone
//! ```
//!
//! [`survey`] only looks and [`decide`] only thinks: both work without a daemon too. What
//! is not surely garbage is told and left alone.

mod builds;
mod decide;
mod found;
mod of_root;
mod processes;
mod remove;
mod survey;

pub use builds::BuildFolder;
pub use decide::{Action, Finding, decide};
pub use found::{Found, FoundFile, FoundProcess, FoundVm, Holder, RunsFor, What};
pub(crate) use of_root::of_root;
pub use processes::{VmProcesses, running};
pub(crate) use remove::remove;
pub use survey::survey;
