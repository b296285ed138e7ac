//! What the owner and the administrator have configured: `docs/configuration.md` is the
//! page for people.
//!
//! The files are read whenever a verb needs them, so that an edit counts from the next
//! command on. One that cannot be used refuses the verbs that need it (`create`, `start`,
//! builds); the others go on.

mod defaults;
mod file;
mod key;
mod list;
mod load;
mod problem;
mod settings;
mod show;

pub use load::{Loaded, files, load};
pub use problem::{ConfigError, Problem};
pub use settings::{Place, Set, Settings};
pub use show::show;
