//! Reaching bangerd: the socket when somebody answers there, else a daemon of our own start.

mod connect;
mod find;
mod start;

pub(crate) use connect::{DaemonError, connect, running, stop};
pub(crate) use find::find as program;
pub(crate) use start::environment;
