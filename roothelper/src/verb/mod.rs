//! What the helper does, one file a call: each takes the permit of that very call.

mod attach_network;
mod attach_snapshot;
mod describe;
mod detach_network;
mod detach_snapshot;
mod discard_overlay;
mod edit;
mod lend_device;
mod list_objects;
mod network;
mod read_ext4_file;
mod sweep;
#[cfg(test)]
#[path = "tests/snapshots.rs"]
mod tests;
mod write_ext4_files;

use std::sync::Arc;

use banger_proto::{Code, Refusal};
use tokio::task::spawn_blocking;

use crate::Config;
use crate::audit::Audit;
use crate::kernel::Kernel;
use crate::vm_lock::VmLocks;
use crate::worker::Staff;

pub(crate) use attach_network::attach_network;
pub(crate) use attach_snapshot::attach_snapshot;
pub(crate) use describe::describe;
pub(crate) use detach_network::detach_network;
pub(crate) use detach_snapshot::detach_snapshot;
pub(crate) use discard_overlay::discard_overlay;
pub(crate) use lend_device::lend_device;
pub(crate) use list_objects::list_objects;
pub(crate) use network::{Wire, failed, remove_all};
pub(crate) use read_ext4_file::read_ext4_file;
pub(crate) use sweep::{Broom, sweep};
pub(crate) use write_ext4_files::write_ext4_files;

/// What verbs act on.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) config: Config,
    pub(crate) locks: VmLocks,
    pub(crate) staff: Staff,
    pub(crate) audit: Audit,
}

impl Host {
    /// A host without workers.
    pub(crate) fn new(kernel: Arc<dyn Kernel>, config: Config, audit: Audit) -> Self {
        let none = std::io::Error::from(std::io::ErrorKind::Unsupported);
        let staff = Staff::new(Err(none.into()));
        Self { kernel, config, locks: VmLocks::default(), staff, audit }
    }
}

/// Does what may wait for devices and disks, on a thread of its own.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::from_error(Code::Internal, &error)))
}
