//! The device of a VM that a call names, judged: whether it is the one, and can be used.

use banger_proto::roothelper::Diskseq;
use banger_proto::{Code, Refusal};

use crate::Ownership;
use crate::kernel::Kernel;
use crate::kernel::device::{Device, Life};
use crate::undo::cannot;

/// The device that a handle names, when it can be used.
pub(crate) fn find(
    kernel: &dyn Kernel,
    of: Ownership,
    diskseq: Diskseq,
) -> Result<Device, Refusal> {
    judge(kernel.device(of).map_err(cannot("look for the VM's device"))?, of, diskseq)
}

fn judge(device: Option<Device>, of: Ownership, diskseq: Diskseq) -> Result<Device, Refusal> {
    let device = device.ok_or_else(|| {
        Refusal::new(Code::NotFound, "the VM has no attached device")
            .hint(format!("start the VM, which attaches it: banger start {}", of.vm))
    })?;
    is_meant(&device, diskseq)?;
    is_sound(&device)?;
    if device.life == Life::Active {
        return Ok(device);
    }
    Err(Refusal::new(Code::FailedPrecondition, "the VM's device was never finished")
        .hint(format!("start the VM anew: banger restart {}", of.vm)))
}

/// That it is this disk, and not the next of the same VM.
pub(crate) fn is_meant(device: &Device, diskseq: Diskseq) -> Result<(), Refusal> {
    if device.diskseq == Some(diskseq) {
        return Ok(());
    }
    Err(Refusal::new(Code::Aborted, "another device of this VM is attached by now")
        .hint(format!("start the VM anew: banger restart {}", device.of.vm)))
}

/// What to do about a program that has the device open.
pub(crate) fn end_program(device: &Device) -> String {
    format!("end the program: sudo fuser --verbose /dev/dm-{}", device.number.minor)
}

/// That it is not about to go, and holds what was written.
pub(crate) fn is_sound(device: &Device) -> Result<(), Refusal> {
    if device.removal_pending {
        let what = "the VM's device goes with the last program that has it open";
        return Err(Refusal::new(Code::FailedPrecondition, what).hint(end_program(device)));
    }
    if device.invalid {
        let what = "the kernel gave the VM's device up: the host's disk was full";
        return Err(Refusal::new(Code::FailedPrecondition, what)
            .hint(format!("what the guest wrote is lost: banger rm --force {}", device.of.vm)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerUid;
    use crate::kernel::device::DeviceNumber;
    use banger_proto::VmId;

    #[test]
    fn only_the_very_device_is_used_and_only_when_it_is_sound() {
        let diskseq = Diskseq::new(7).unwrap();
        let good = Device {
            of: Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() },
            number: DeviceNumber { major: 253, minor: 0 },
            diskseq: Some(diskseq),
            life: Life::Active,
            size: 1 << 20,
            open: 0,
            node_owner: Some(0),
            removal_pending: false,
            invalid: false,
        };
        assert_eq!(judge(Some(good), good.of, diskseq).unwrap(), good);
        let code = |device: Option<Device>| judge(device, good.of, diskseq).unwrap_err().code;
        assert_eq!(code(None), Code::NotFound);
        for other in [None, Diskseq::new(6).ok(), Diskseq::new(8).ok()] {
            assert_eq!(code(Some(Device { diskseq: other, ..good })), Code::Aborted);
        }
        let unsound = [
            Device { removal_pending: true, ..good },
            Device { invalid: true, ..good },
            Device { life: Life::Loaded, ..good },
        ];
        for device in unsound {
            assert_eq!(code(Some(device)), Code::FailedPrecondition);
        }
    }
}
