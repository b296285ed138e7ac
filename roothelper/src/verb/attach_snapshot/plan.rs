//! What an attach does, by what is there.

use banger_proto::roothelper::{AttachSnapshot, Diskseq};
use banger_proto::{Code, Refusal};

use crate::attached::is_sound;
use crate::kernel::device::{Device, Life};
use crate::overlay_size;
use crate::undo::NO_ROOM;

/// What is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// The VM's device.
    pub(super) device: Option<Device>,
    /// What is below it is the very file that the request came with.
    pub(super) stands_on_base: bool,
    /// Bytes of the VM's overlay file.
    pub(super) overlay: Option<u64>,
    /// Bytes of the base image, in whole sectors.
    pub(super) base_size: u64,
    /// Bytes that are free where overlays are.
    pub(super) free: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing: it is attached.
    Keep(Diskseq),
    /// The device.
    Make {
        /// What is left of a helper that was killed in the middle, and goes first.
        unfinished: Option<Device>,
        /// The overlay file, too.
        new_overlay: bool,
        /// Bytes of it, made or there.
        overlay_size: u64,
    },
}

pub(super) fn plan(facts: &Facts, request: &AttachSnapshot) -> Result<Plan, Refusal> {
    let refuse =
        |what: &str, hint: String| Err(Refusal::new(Code::FailedPrecondition, what).hint(hint));
    let mut unfinished = None;
    if let Some(device) = facts.device {
        is_sound(&device)?;
        match (device.life, device.diskseq) {
            (Life::Active, Some(diskseq)) => {
                if facts.stands_on_base && device.size == facts.base_size {
                    return Ok(Plan::Keep(diskseq));
                }
                return refuse(
                    "the VM is attached with another base image",
                    format!("stop the VM, which detaches it: banger stop {}", request.vm),
                );
            }
            _ => unfinished = Some(device),
        }
    }
    let Some(overlay_size) = overlay_size(facts.base_size) else {
        return Err(Refusal::new(Code::InvalidArgument, "the base image is too large")
            .hint("use a smaller one: banger image ls"));
    };
    let new_overlay = match facts.overlay {
        Some(there) if there == overlay_size => false,
        Some(_) => {
            return refuse(
                "the VM's overlay was made for a base image of another size",
                format!("start it with the image it was made from: banger inspect {}", request.vm),
            );
        }
        None if request.create_overlay => true,
        None => {
            let what = "the VM has no overlay file: what its guest wrote is gone";
            return Err(Refusal::new(Code::NotFound, what)
                .hint(format!("make the VM anew: banger rm {}, banger create", request.vm)));
        }
    };
    if facts.free < request.free_bytes {
        let mib = |bytes: u64| bytes >> 20;
        let what = format!(
            "{} MiB are free for overlays on the host's disk, and {} MiB are asked for",
            mib(facts.free),
            mib(request.free_bytes)
        );
        return Err(Refusal::new(Code::ResourceExhausted, what).hint(NO_ROOM));
    }
    Ok(Plan::Make { unfinished, new_overlay, overlay_size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::device::DeviceNumber;
    use crate::{OwnerUid, Ownership};
    use banger_proto::VmId;
    use banger_proto::roothelper::Interaction;

    const SIZE: u64 = 1 << 30;
    const OVERLAY: u64 = overlay_size(SIZE).unwrap();

    fn request(create_overlay: bool) -> AttachSnapshot {
        let interaction = Interaction::Never;
        AttachSnapshot { vm: VmId::random(), interaction, create_overlay, free_bytes: 1 << 20 }
    }

    fn device() -> Device {
        Device {
            of: Ownership { uid: OwnerUid::new(1000).unwrap(), vm: VmId::random() },
            number: DeviceNumber { major: 253, minor: 0 },
            diskseq: Diskseq::new(7).ok(),
            life: Life::Active,
            size: SIZE,
            open: 0,
            node_owner: Some(0),
            removal_pending: false,
            invalid: false,
        }
    }

    const NOTHING: Facts = Facts {
        device: None,
        stands_on_base: false,
        overlay: None,
        base_size: SIZE,
        free: 1 << 30,
    };

    fn code(facts: Facts, request: AttachSnapshot) -> Code {
        let refusal = plan(&facts, &request).unwrap_err();
        assert!(!refusal.hint.is_empty(), "{refusal:?}");
        refusal.code
    }

    #[test]
    fn nothing_is_made_twice() {
        let attached = Facts { device: Some(device()), stands_on_base: true, ..NOTHING };
        let kept = Plan::Keep(Diskseq::new(7).unwrap());
        // Also where the disk is full by now.
        let full = Facts { free: 0, ..attached };
        assert_eq!(plan(&full, &request(false)), Ok(kept));
        let other = Facts { stands_on_base: false, ..attached };
        assert_eq!(code(other, request(true)), Code::FailedPrecondition);
        let grown = Facts { base_size: SIZE + 512, ..attached };
        assert_eq!(code(grown, request(true)), Code::FailedPrecondition);
    }

    #[test]
    fn what_a_killed_helper_left_is_made_anew_and_what_goes_is_waited_for() {
        for life in [Life::Made, Life::Loaded] {
            let left = Device { life, ..device() };
            let facts = Facts { device: Some(left), overlay: Some(OVERLAY), ..NOTHING };
            let expected =
                Plan::Make { unfinished: Some(left), new_overlay: false, overlay_size: OVERLAY };
            assert_eq!(plan(&facts, &request(true)), Ok(expected));
        }
        for unsound in
            [Device { removal_pending: true, ..device() }, Device { invalid: true, ..device() }]
        {
            let facts = Facts { device: Some(unsound), stands_on_base: true, ..NOTHING };
            assert_eq!(code(facts, request(true)), Code::FailedPrecondition);
        }
    }

    #[test]
    fn an_overlay_is_made_when_asked_for_and_never_in_the_place_of_a_lost_one() {
        let make =
            |new_overlay| Ok(Plan::Make { unfinished: None, new_overlay, overlay_size: OVERLAY });
        assert_eq!(plan(&NOTHING, &request(true)), make(true));
        assert_eq!(code(NOTHING, request(false)), Code::NotFound);
        let there = Facts { overlay: Some(OVERLAY), ..NOTHING };
        assert_eq!(plan(&there, &request(false)), make(false));
        assert_eq!(plan(&there, &request(true)), make(false));
        let other = Facts { overlay: Some(OVERLAY + 4096), ..NOTHING };
        assert_eq!(code(other, request(true)), Code::FailedPrecondition);
    }

    #[test]
    fn room_that_is_not_there_is_a_refusal_with_the_figures() {
        let full = Facts { free: (1 << 20) - 1, ..NOTHING };
        let refusal = plan(&full, &request(true)).unwrap_err();
        assert_eq!(refusal.code, Code::ResourceExhausted);
        assert!(refusal.message.starts_with("0 MiB are free") && refusal.message.contains("1 MiB"));
    }
}
