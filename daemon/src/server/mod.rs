//! The gRPC service: each method checks its message and calls the verb of its name.

mod consoles;
mod imports;
mod listen;
mod service;

pub use listen::Listener;
pub use service::{Service, serve};
