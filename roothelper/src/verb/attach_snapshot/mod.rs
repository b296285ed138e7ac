//! Makes the block device of a VM's root filesystem.

mod plan;

use std::os::fd::AsFd;

use banger_proto::roothelper::{AttachSnapshot, Change, DeviceHandle, FacilityKind, Snapshot};
use banger_proto::{Code, Refusal};

use self::plan::{Facts, Plan, plan};
use super::describe::facility;
use super::detach_snapshot::remove;
use super::{Host, waiting};
use crate::kernel::device::{Binding, Device, FileId, Life};
use crate::kernel::{Kernel, Table};
use crate::undo::{Done, cannot, undoing};
use crate::vm_lock::VmLock;
use crate::{BaseImage, Names, Ownership, Permit, call};

/// How the wall comes that no worker goes without.
pub(super) const LANDLOCK: &str = "put landlock before what `cat /sys/kernel/security/lsm` prints, \
    as the kernel's option lsm=landlock,..., and boot anew; or boot a distribution's kernel, which has it";
/// What it needs of the host, and what helps.
const NEEDS: [(FacilityKind, &str); 6] = [
    (FacilityKind::Kernel, "boot a newer kernel"),
    (FacilityKind::DeviceMapper, "sudo modprobe dm_snapshot"),
    (FacilityKind::Loop, "sudo modprobe loop"),
    (FacilityKind::UdevRules, "install banger's system part anew: sudo make install"),
    (FacilityKind::Overlays, "sudo systemctl restart banger-roothelper.service, which makes it"),
    // Else it would be made, and nothing in it could be read.
    (FacilityKind::Landlock, LANDLOCK),
];

/// Bytes without which a disk is full.
const LEAST: u64 = 1 << 20;

pub(crate) async fn attach_snapshot(
    permit: Permit<call::AttachSnapshot>,
    host: Host,
) -> Result<Snapshot, Refusal> {
    let (caller, call::AttachSnapshot { request, base }) = permit.into_parts();
    let lock = host.locks.lock(Ownership { uid: caller.uid(), vm: request.vm })?;
    waiting(move || attach(&host, &lock, &request, &base)).await
}

pub(super) fn attach(
    Host { kernel, config, .. }: &Host,
    lock: &VmLock,
    request: &AttachSnapshot,
    base: &BaseImage,
) -> Result<Snapshot, Refusal> {
    let (kernel, of) = (&**kernel, lock.of());
    needed(kernel)?;
    let facts = look(kernel, of, base)?;
    match plan(&facts, request)? {
        Plan::Keep(diskseq) => Ok(Snapshot {
            device: DeviceHandle { vm: of.vm, diskseq },
            change: Change::None,
            overlay: Change::None,
            size_bytes: facts.base_size,
        }),
        Plan::Make { unfinished, new_overlay, overlay_size } => {
            if let Some(device) = unfinished {
                remove(kernel, &device)?;
            }
            lock.admit(kernel, &config.limits, if new_overlay { overlay_size } else { 0 })?;
            lock.promise(kernel, request.free_bytes, overlay_size)?;
            make(kernel, of, base, new_overlay, overlay_size)
        }
    }
}

fn needed(kernel: &dyn Kernel) -> Result<(), Refusal> {
    let release = kernel.release().map_err(cannot("read the kernel's version"))?;
    for (kind, hint) in NEEDS {
        let found = facility(kernel, &release, kind);
        if !found.available {
            return Err(Refusal {
                chain: vec![found.found],
                ..Refusal::new(Code::FailedPrecondition, "the host lacks what snapshots need")
                    .hint(hint)
            });
        }
    }
    Ok(())
}

/// All that is decided by.
fn look(kernel: &dyn Kernel, of: Ownership, base: &BaseImage) -> Result<Facts, Refusal> {
    let stat = rustix::fs::fstat(base.as_fd())
        .map_err(|error| cannot("look at the base image")(error.into()))?;
    if u64::try_from(stat.st_size) != Ok(base.size()) {
        return Err(changed());
    }
    let base_id = FileId { device: stat.st_dev, inode: stat.st_ino };
    let device = kernel.device(of).map_err(cannot("look for the VM's device"))?;
    let below = match &device {
        Some(device) => kernel.loops_of(device).map_err(cannot("look below the VM's device"))?,
        None => Vec::new(),
    };
    let overlays = kernel.overlays_of(of.uid).map_err(cannot("look for the VM's overlay"))?;
    Ok(Facts {
        device,
        stands_on_base: below.iter().any(|found| found.read_only && found.file == base_id),
        overlay: overlays.iter().find(|overlay| overlay.vm == of.vm).map(|overlay| overlay.size),
        base_size: base.size(),
        free: kernel.overlay_space().map_err(cannot("see how much room there is"))?,
    })
}

fn changed() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "the base image changes while it is attached")
        .hint("start the VM again when nobody writes to its image: banger start VM")
}

fn make(
    kernel: &dyn Kernel,
    of: Ownership,
    base: &BaseImage,
    new_overlay: bool,
    overlay_size: u64,
) -> Result<Snapshot, Refusal> {
    let size = base.size();
    undoing(kernel, |undo| {
        if new_overlay {
            kernel.create_overlay(of, overlay_size).map_err(cannot("make the overlay file"))?;
            undo.did(Done::Overlay(of));
        }
        let overlay = kernel.open_overlay(of).map_err(cannot("open the overlay file"))?;
        let origin = undo.bind(base.as_fd(), &Binding { of, read_only: true, size })?;
        let binding = Binding { of, read_only: false, size: overlay_size };
        let overlay = undo.bind(overlay.as_fd(), &binding)?;
        kernel.make_device(of).map_err(|error| {
            // There is none of its uuid: it has been looked for.
            let taken = error.kind() == std::io::ErrorKind::ResourceBusy;
            let refusal = cannot("make the VM's device")(error);
            if !taken {
                return refusal;
            }
            let name = Names::of(of).dm_name;
            refusal.hint(format!(
                "a device that is not banger's has its name: sudo dmsetup info {name}; if nobody needs it: \
                 sudo dmsetup remove {name}"
            ))
        })?;
        undo.did(Done::Device(of));
        let table = Table { origin, overlay, size };
        kernel.load_table(of, &table).map_err(|error| match error.kind() {
            // It was cut off just now: the device would reach beyond it.
            std::io::ErrorKind::InvalidInput => changed(),
            // The kernel has begun to write the overlay, and says the same of a full disk and of a broken one.
            _ if kernel.overlay_space().is_ok_and(|free| free < LEAST) => {
                cannot("make a snapshot of the base image")(std::io::ErrorKind::StorageFull.into())
            }
            _ => cannot("make a snapshot of the base image")(error),
        })?;
        kernel.resume_device(of).map_err(cannot("start the VM's device"))?;
        let made = kernel.device(of).map_err(cannot("look at the VM's device"))?;
        match made {
            Some(Device {
                life: Life::Active, diskseq: Some(diskseq), size: of_device, ..
            }) if of_device == size => Ok(Snapshot {
                device: DeviceHandle { vm: of.vm, diskseq },
                change: Change::Created,
                overlay: if new_overlay { Change::Created } else { Change::None },
                size_bytes: size,
            }),
            other => {
                let what = format!("the device is not as it was made: {other:?}");
                Err(Refusal::new(Code::Internal, what)
                    .hint("the kernel may say why: sudo dmesg; then start the VM again"))
            }
        }
    })
}
