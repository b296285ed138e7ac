//! The transport, and the table from calls to verbs.
//!
//! ```text
//!  accept --> who? (caller) --> a place? (admission) --> greeting in time (connection)
//!    --> call: in the table? a place among the user's? (entrance)
//!    --> message and descriptor, checked and frozen (service, base_image) --> polkit (permit) --> verb
//! ```
//!
//! hyper serves the connections and not tonic's server, whose loop spins when descriptors run
//! out and which ends old connections without a word.

mod admission;
mod base_image;
mod connection;
mod descriptors;
mod entrance;
mod errands;
mod goodbye;
mod lots;
mod peer;
mod receive;
mod serve;
mod service;
mod turned_away;

pub use admission::{Capacity, Full};
pub use connection::Patience;
pub use serve::Ended;
pub use service::Server;
pub use turned_away::TurnedAway;

#[cfg(test)]
mod tests;
