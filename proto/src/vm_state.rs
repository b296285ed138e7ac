//! The state of a VM, as people see it.

use crate::words::words;

/// Where a VM is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmState {
    /// A record; never started.
    Created,
    /// A start is under way.
    Starting,
    /// The VMM runs.
    Running,
    /// A stop is under way.
    Stopping,
    /// It was stopped; its disks are kept.
    Stopped,
    /// The VMM ended on its own, or a start failed.
    Failed,
}

words! {
    VmState, "VM state", "not one of this version";
    Created => "created",
    Starting => "starting",
    Running => "running",
    Stopping => "stopping",
    Stopped => "stopped",
    Failed => "failed",
}
