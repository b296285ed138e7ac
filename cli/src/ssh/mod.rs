//! Reaching a guest through the system's `ssh`.

mod options;
mod quote;
mod session;

pub(crate) use session::{SshError, run};
