//! Reaching a guest through the system's `ssh`.

mod channel;
mod quote;
mod session;
mod setting;

pub(crate) use channel::{Channel, Pipes, SshError};
pub(crate) use quote::word;
pub(crate) use session::run;
pub(crate) use setting::Setting;
