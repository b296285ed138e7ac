//! Reaching a guest through the system's `ssh`.

mod channel;
mod options;
mod quote;
mod session;
mod setting;

pub(crate) use channel::SshError;
pub(crate) use session::run;
pub(crate) use setting::Setting;
