//! `vm rm`: discards a VM and its disks.

use std::sync::Arc;

use banger_proto::{Refusal, Vm};

use super::{blocking, store_refusal};
use crate::context::Context;
use crate::progress::Teller;
use crate::store::VmRecord;

/// Removes everything of a VM that does not run.
pub(crate) async fn remove_vm(
    context: Arc<Context>,
    record: &VmRecord,
    teller: &Teller<Vm>,
) -> Result<(), Refusal> {
    let id = record.id;
    let remove = blocking(move || context.vms.remove(id).map_err(|error| store_refusal(&error)));
    let discarded = teller.stage("remove_files", "", remove).await?;
    // Nobody has to wait for the filesystem to give gigabytes back.
    tokio::task::spawn_blocking(move || discarded.free());
    Ok(())
}
