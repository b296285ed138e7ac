//! What the helper does, one file a call: each takes the permit of that very call.

mod attach_network;
mod attach_snapshot;
mod describe;
mod detach_network;
mod detach_snapshot;
mod lend_device;
mod network;
#[cfg(test)]
#[path = "tests/snapshots.rs"]
mod tests;

use std::sync::Arc;

use banger_proto::{Code, Refusal};
use tokio::task::spawn_blocking;

use crate::Config;
use crate::kernel::Kernel;
use crate::vm_lock::VmLocks;

pub(crate) use attach_network::attach_network;
pub(crate) use attach_snapshot::attach_snapshot;
pub(crate) use describe::describe;
pub(crate) use detach_network::detach_network;
pub(crate) use detach_snapshot::detach_snapshot;
pub(crate) use lend_device::lend_device;
pub(crate) use network::Wire;

/// What verbs act on.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) config: Config,
    pub(crate) locks: VmLocks,
}

/// Does what may wait for devices and disks, on a thread of its own.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
}
