//! How a guest reaches the world and is reached: addresses, ports, user-mode backends.

mod address;
pub(crate) mod forward;
mod passt;
mod ports;
mod prepare;
mod resolvers;
mod tap;

pub use address::{AddressPlan, Card, MacAddress};
pub(crate) use ports::taken;
pub use ports::{PortBook, PortClaim, refuse_privileged, refuse_taken};
pub use prepare::{Backend, Choice, NetworkError, Prepared, prepare};
pub use resolvers::resolvers;
pub use tap::Tap;
