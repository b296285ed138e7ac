//! What root made for the caller, from the kernel's lists and the folder of overlays.

use banger_proto::Refusal;
use banger_proto::roothelper::{Object, ObjectKind};

use super::network::{failed, objects_of};
use super::{Host, waiting};
use crate::kernel::Kernel;
use crate::kernel::device::Device;
use crate::undo::cannot;
use crate::{Names, OwnerUid, Ownership, Permit, call};

pub(crate) async fn list_objects(
    permit: Permit<call::ListObjects>,
    host: Host,
) -> Result<Vec<Object>, Refusal> {
    let uid = permit.caller().uid();
    waiting(move || objects(&*host.kernel, uid)).await
}

/// All of a user's, by their VMs and in the order of the contract.
pub(crate) fn objects(kernel: &dyn Kernel, uid: OwnerUid) -> Result<Vec<Object>, Refusal> {
    let devices = kernel.devices_of(uid).map_err(cannot("list devices"))?;
    let overlays = kernel.overlays_of(uid).map_err(cannot("list overlays"))?;
    let mut found: Vec<_> = devices.iter().map(snapshot).collect();
    let mut below = Vec::new();
    for device in &devices {
        let loops = kernel.loops_of(device).map_err(cannot("look below a device"))?;
        below.extend(loops.into_iter().map(|found| found.number));
    }
    let loops = kernel.loops().map_err(cannot("list loop devices"))?;
    found.extend(loops.into_iter().filter(|found| !below.contains(&found.number)).filter_map(
        |found| {
            let of = found.of.filter(|of| of.uid == uid)?;
            // One that nobody has open clears itself.
            let kind = ObjectKind::Loop { minor: found.number.get(), open: true };
            Some(Object { vm: of.vm, name: found.number.to_string(), since: 0, kind })
        },
    ));
    found.extend(overlays.into_iter().map(|overlay| Object {
        vm: overlay.vm,
        name: Names::of(Ownership { uid, vm: overlay.vm }).overlay,
        since: overlay.since,
        kind: ObjectKind::Overlay {
            size_bytes: overlay.size,
            allocated_bytes: overlay.allocated,
            attached: devices.iter().any(|device| device.of.vm == overlay.vm),
        },
    }));
    found.extend(objects_of(kernel, uid).map_err(|error| failed(&error))?);
    found.sort_by_key(|object| (object.vm, rank(&object.kind)));
    Ok(found)
}

fn snapshot(device: &Device) -> Object {
    let kind = ObjectKind::Snapshot {
        diskseq: device.diskseq,
        numbers: (device.number.major, device.number.minor),
        size_bytes: device.size,
        lent: device.node_owner == Some(device.of.uid.get()),
        open: device.open > 0,
        suspended: device.life != crate::kernel::device::Life::Active,
        removal_pending: device.removal_pending,
        invalid: device.invalid,
    };
    Object { vm: device.of.vm, name: Names::of(device.of).dm_name, since: 0, kind }
}

const fn rank(kind: &ObjectKind) -> u32 {
    match kind {
        ObjectKind::Snapshot { .. } => 0,
        ObjectKind::Loop { minor, .. } => *minor,
        ObjectKind::Overlay { .. } => u32::MAX - 1,
        ObjectKind::Tap { .. } => u32::MAX,
    }
}
