//! Takes the node back, then removes snapshot and loops.

use banger_proto::roothelper::{Change, DetachSnapshot};
use banger_proto::{Code, Refusal};

use super::{Host, waiting};
use crate::attached::{end_program, is_meant};
use crate::kernel::Kernel;
use crate::kernel::device::{Device, Removal};
use crate::undo::cannot;
use crate::vm_lock::VmLock;
use crate::{Ownership, Permit, call};

pub(crate) async fn detach_snapshot(
    permit: Permit<call::DetachSnapshot>,
    host: Host,
) -> Result<Change, Refusal> {
    let (caller, call::DetachSnapshot(request)) = permit.into_parts();
    let lock = host.locks.lock(Ownership { uid: caller.uid(), vm: request.vm })?;
    waiting(move || detach(&*host.kernel, &lock, &request)).await
}

pub(super) fn detach(
    kernel: &dyn Kernel,
    lock: &VmLock,
    request: &DetachSnapshot,
) -> Result<Change, Refusal> {
    let found = kernel.device(lock.of()).map_err(cannot("look for the VM's device"))?;
    let Some(device) = found else {
        no_loops(kernel, lock.of()).map_err(cannot("give back loop devices that nobody has"))?;
        return Ok(Change::None);
    };
    if let Some(diskseq) = request.diskseq {
        is_meant(&device, diskseq)?;
    }
    if device.removal_pending {
        return Ok(Change::RemovalPending);
    }
    if device.node_owner.is_some() {
        kernel.give_node(&device, None).map_err(cannot("take the device's node back"))?;
    }
    if !kernel.unused(device.of).map_err(cannot("see who has the device open"))? {
        return Err(Refusal::new(Code::FailedPrecondition, "a program has the VM's device open")
            .hint(format!(
                "stop the VM: banger stop {}; or {}",
                device.of.vm,
                end_program(&device)
            )));
    }
    remove(kernel, &device)
}

/// A device that went with its last user left the numbers of its loops, and is not through with
/// them yet where it went just now.
fn no_loops(kernel: &dyn Kernel, of: Ownership) -> std::io::Result<()> {
    for found in kernel.loops()?.iter().filter(|found| found.of == Some(of)) {
        kernel.release_loop(found.number)?;
    }
    kernel.release_stray_loops().map(drop)
}

/// Removes a device and the loops below it. It is not open, but somebody may open it just now.
pub(super) fn remove(kernel: &dyn Kernel, device: &Device) -> Result<Change, Refusal> {
    let below = kernel.loops_of(device).map_err(cannot("look below the VM's device"))?;
    match kernel.remove_device(device.of).map_err(cannot("remove the VM's device"))? {
        Removal::Pending => Ok(Change::RemovalPending),
        Removal::Done => {
            // All of them, and then the first error: what stays is given back when the helper
            // starts the next time.
            let released: Vec<_> =
                below.iter().map(|found| kernel.release_loop(found.number)).collect();
            let released: Result<Vec<()>, _> = released.into_iter().collect();
            released
                .map_err(cannot("give back the loop devices of the VM's device, which is gone"))?;
            Ok(Change::Removed)
        }
    }
}
