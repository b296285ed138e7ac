//! Removes what a guest wrote.

use banger_proto::roothelper::{Change, Discarded};
use banger_proto::{Code, Refusal};

use super::{Host, waiting};
use crate::attached::end_program;
use crate::kernel::Kernel;
use crate::undo::cannot;
use crate::vm_lock::VmLock;
use crate::{Ownership, Permit, call};

pub(crate) async fn discard_overlay(
    permit: Permit<call::DiscardOverlay>,
    host: Host,
) -> Result<Discarded, Refusal> {
    let (caller, call::DiscardOverlay(request)) = permit.into_parts();
    let lock = host.locks.lock(Ownership { uid: caller.uid(), vm: request.vm })?;
    waiting(move || discard(&*host.kernel, &lock)).await
}

pub(super) fn discard(kernel: &dyn Kernel, lock: &VmLock) -> Result<Discarded, Refusal> {
    let of = lock.of();
    let device = kernel.device(of).map_err(cannot("look for the VM's device"))?;
    if let Some(device) = device {
        let (what, hint) = if device.removal_pending {
            ("the VM's device goes with the last program that has it open", end_program(&device))
        } else {
            (
                "the VM's device is attached, and stands on its overlay",
                format!("stop the VM first: banger stop {}", of.vm),
            )
        };
        return Err(Refusal::new(Code::FailedPrecondition, what).hint(hint));
    }
    let nothing = Discarded { change: Change::None, freed_bytes: 0 };
    let overlays = kernel.overlays_of(of.uid).map_err(cannot("look for the VM's overlay"))?;
    let Some(overlay) = overlays.into_iter().find(|overlay| overlay.vm == of.vm) else {
        return Ok(nothing);
    };
    match kernel.remove_overlay(of) {
        Ok(()) => Ok(Discarded { change: Change::Removed, freed_bytes: overlay.allocated }),
        // Somebody of root's was first.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(nothing),
        Err(error) => Err(cannot("remove the VM's overlay")(error)),
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::VmId;

    use super::*;
    use crate::OwnerUid;
    use crate::kernel::Devices;
    use crate::kernel::simulated::Simulated;
    use crate::vm_lock::VmLocks;

    #[test]
    fn an_overlay_goes_once_and_not_below_a_device() {
        let kernel = Simulated::default();
        let of = Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() };
        let other = Ownership { uid: OwnerUid::new(1001).unwrap(), ..of };
        let lock = VmLocks::default().lock(of).unwrap();
        let none = Discarded { change: Change::None, freed_bytes: 0 };
        assert_eq!(discard(&kernel, &lock), Ok(none));
        for of in [of, other] {
            kernel.create_overlay(of, 1 << 20).unwrap();
        }
        kernel.state().overlays.insert(of, (1 << 20, 4096));
        kernel.make_device(of).unwrap();
        for (pending, hint) in [(false, "banger stop"), (true, "sudo fuser --verbose /dev/dm-")] {
            kernel.state().devices.get_mut(&of).unwrap().removal_pending = pending;
            let refusal = discard(&kernel, &lock).unwrap_err();
            assert_eq!(refusal.code, Code::FailedPrecondition);
            assert!(refusal.hint.contains(hint), "{refusal:?}");
        }
        assert!(kernel.state().overlays.contains_key(&of));
        kernel.remove_device(of).unwrap();
        let gone = Discarded { change: Change::Removed, freed_bytes: 4096 };
        assert_eq!(discard(&kernel, &lock), Ok(gone));
        assert_eq!(discard(&kernel, &lock), Ok(none));
        assert_eq!(kernel.state().overlays.keys().collect::<Vec<_>>(), [&other]);
    }

    #[test]
    fn what_the_kernel_refuses_is_told_and_the_file_stays() {
        let kernel = Simulated::default();
        let of = Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() };
        let lock = VmLocks::default().lock(of).unwrap();
        kernel.create_overlay(of, 1 << 20).unwrap();
        for step in 1..=2 {
            let now = kernel.state().steps;
            kernel.state().failing.insert(now + step);
            assert_eq!(discard(&kernel, &lock).unwrap_err().code, Code::Internal);
            assert!(kernel.state().overlays.contains_key(&of));
        }
    }
}
