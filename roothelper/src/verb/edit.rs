//! A device in the hands of a worker, for the two verbs that look into one.

use std::sync::Arc;

use banger_proto::roothelper::DeviceHandle;
use banger_proto::{Code, Refusal};

use super::{Host, waiting};
use crate::attached::find;
use crate::kernel::device::Access;
use crate::kernel::{Kernel, Opened};
use crate::undo::cannot;
use crate::vm_lock::VmLock;
use crate::worker::Device;
use crate::{OwnerUid, Ownership};

/// Opens the device that the handle names, with nobody else at it. The VM is this call's alone
/// until the last worker on the device is gone.
pub(super) async fn open(
    host: &Host,
    uid: OwnerUid,
    handle: DeviceHandle,
    access: Access,
) -> Result<Device, Refusal> {
    let lock = host.locks.lock(Ownership { uid, vm: handle.vm })?;
    let kernel = Arc::clone(&host.kernel);
    waiting(move || take(&*kernel, lock, handle, access)).await
}

fn take(
    kernel: &dyn Kernel,
    lock: VmLock,
    handle: DeviceHandle,
    access: Access,
) -> Result<Device, Refusal> {
    let device = find(kernel, lock.of(), handle.diskseq)?;
    if device.node_owner != Some(0) {
        let what = "the VM's device is lent: its VMM may write to it";
        return Err(Refusal::new(Code::FailedPrecondition, what)
            .hint(format!("stop the VM, which takes it back: banger stop {}", handle.vm)));
    }
    let opened = kernel.open_device(&device, access).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Refusal::new(Code::Aborted, "another device of this VM is attached by now")
                .hint(format!("start the VM anew: banger restart {}", handle.vm))
        }
        _ => cannot("open the VM's device")(error),
    })?;
    let Opened { reading, writing, hold } = opened;
    let held = (hold, lock);
    Ok(match writing {
        None => Device::reading(reading, held),
        Some(writing) => Device::writing(reading, writing, held),
    })
}
