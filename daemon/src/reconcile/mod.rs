//! What a daemon does with what an earlier one left: records and processes -> actions.

use std::sync::Arc;

use crate::vm::Registry;

/// Sweeps what was left half made, and begins the task of every VM.
pub fn take_over(registry: &Arc<Registry>) {
    let context = registry.context();
    context.vms.sweep();
    context.images.sweep();
    let (records, broken) = match context.vms.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "cannot list the VMs");
            return;
        }
    };
    for error in broken {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot read the record of a VM");
    }
    for record in records {
        registry.adopt(record);
    }
}
