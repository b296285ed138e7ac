//! Gives a device's node to the caller.

use banger_proto::roothelper::{Change, Diskseq, LendDevice, LentDevice};
use banger_proto::{Code, Refusal};

use super::{Host, waiting};
use crate::attached::{end_program, find};
use crate::kernel::Kernel;
use crate::kernel::device::Device;
use crate::undo::{Done, cannot, undoing};
use crate::vm_lock::VmLock;
use crate::{Ownership, Permit, call};

pub(crate) async fn lend_device(
    permit: Permit<call::LendDevice>,
    host: Host,
) -> Result<LentDevice, Refusal> {
    let (caller, call::LendDevice(request)) = permit.into_parts();
    let lock = host.locks.lock(Ownership { uid: caller.uid(), vm: request.device.vm })?;
    waiting(move || lend(&*host.kernel, &lock, &request)).await
}

/// What is to be done, by whom the node belongs to.
fn plan(node_owner: Option<u32>, of: Ownership) -> Result<Change, Refusal> {
    match node_owner {
        Some(0) => Ok(Change::Lent),
        Some(uid) if uid == of.uid.get() => Ok(Change::None),
        _ => Err(Refusal::new(Code::FailedPrecondition, "the device's node is somebody else's")
            .hint(format!("start the VM anew: banger restart {}", of.vm))),
    }
}

pub(super) fn lend(
    kernel: &dyn Kernel,
    lock: &VmLock,
    request: &LendDevice,
) -> Result<LentDevice, Refusal> {
    let (of, diskseq) = (lock.of(), request.device.diskseq);
    let device = find(kernel, of, diskseq)?;
    let change = plan(device.node_owner, of)?;
    if change == Change::Lent {
        give(kernel, &device, diskseq)?;
    }
    Ok(LentDevice { change, numbers: (device.number.major, device.number.minor) })
}

fn give(kernel: &dyn Kernel, device: &Device, diskseq: Diskseq) -> Result<(), Refusal> {
    // Its first events must be over: what udev does on them is not to fall to the new owner.
    if !kernel.udev_is_done(device).map_err(cannot("see what udev does"))? {
        return Err(Refusal::new(Code::FailedPrecondition, "udev has not looked at the device")
            .hint("sudo systemctl restart systemd-udevd, then start the VM again"));
    }
    if !kernel.unused(device.of).map_err(cannot("see who has the device open"))? {
        return Err(Refusal::new(Code::FailedPrecondition, "a program has the VM's device open")
            .hint(end_program(device)));
    }
    undoing(kernel, |undo| {
        // Also when it fails half-way.
        undo.did(Done::Lent(*device));
        let to = device.of.uid;
        kernel.give_node(device, Some(to)).map_err(cannot("lend the device's node"))?;
        // What was lent is what was asked for, and stays so.
        let now = find(kernel, device.of, diskseq)?;
        if now.number == device.number && now.node_owner == Some(to.get()) {
            return Ok(());
        }
        Err(Refusal::new(Code::Aborted, "somebody changed the device meanwhile")
            .hint(format!("start the VM again: banger start {}", device.of.vm)))
    })
}
