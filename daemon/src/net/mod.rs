//! How a guest reaches the world and is reached: addresses, ports, user-mode backends.

mod address;
mod passt;
mod prepare;

pub use address::{AddressPlan, MacAddress};
pub use prepare::{Backend, Choice, NetworkError, Prepared, prepare};
