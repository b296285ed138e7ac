//! What the helper does, one file a call: each takes the permit of that very call.

mod attach_network;
mod describe;
mod detach_network;
mod network;

pub(crate) use attach_network::attach_network;
pub(crate) use describe::describe;
pub(crate) use detach_network::detach_network;
pub(crate) use network::Wire;
