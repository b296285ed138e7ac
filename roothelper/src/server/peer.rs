//! What goes with every call of a connection.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::admission::Ticket;
use super::descriptors::Descriptors;
use crate::Caller;

/// The other end of a connection. Whoever holds it holds the connection's place.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Who it is.
    pub(super) caller: Caller,
    /// What it sent beside bytes.
    pub(super) descriptors: Arc<Descriptors>,
    /// Its place.
    pub(super) ticket: Arc<Ticket>,
    /// The places of one call.
    pub(super) places: Arc<Vec<Option<OwnedSemaphorePermit>>>,
}
