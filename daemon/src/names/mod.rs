//! VMs by their names: on this host through its name service, in guests on the bridge through
//! their `/etc/hosts`.

mod board;
mod host_file;
mod keep;
mod tell;

pub(crate) use board::{Board, Names};
pub(crate) use keep::keep;
pub(crate) use tell::lines;
