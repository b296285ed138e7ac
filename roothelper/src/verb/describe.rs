//! Who answers, its limits, what the caller has used of them, and what the host lacks.

use banger_proto::roothelper::{
    ActionAnswer, Facility, FacilityKind, HelperDescription, HelperUsage,
};
use banger_proto::{Code, Refusal};

use super::{Host, waiting};
use crate::kernel::{Kernel, Release};
use crate::{Config, OwnerUid, Permit, call};

pub(crate) async fn describe(
    permit: Permit<call::Describe>,
    Host { kernel, config, .. }: Host,
    actions: Vec<ActionAnswer>,
) -> Result<HelperDescription, Refusal> {
    let uid = permit.caller().uid();
    // Folders and devices may keep whoever looks at them waiting.
    waiting(move || look(&*kernel, uid, config, actions)).await
}

fn look(
    kernel: &dyn Kernel,
    uid: OwnerUid,
    config: Config,
    actions: Vec<ActionAnswer>,
) -> Result<HelperDescription, Refusal> {
    let failed = |error: std::io::Error| Refusal {
        message: "cannot see what the host has".into(),
        ..Refusal::from_error(Code::Internal, &error).hint("the kernel may say why: sudo dmesg")
    };
    let release = kernel.release().map_err(failed)?;
    let overlays = kernel.overlays_of(uid).map_err(failed)?;
    let facilities = FacilityKind::ALL.iter().map(|&kind| facility(kernel, &release, kind));
    Ok(HelperDescription {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        limits: config.limits.into(),
        usage: HelperUsage {
            overlay_bytes: overlays.iter().map(|overlay| overlay.size).sum(),
            overlay_free_bytes: kernel.overlay_space().map_err(failed)?,
        },
        kernel: release.to_string(),
        minimum_kernel: Release::MINIMUM.to_string(),
        facilities: facilities.collect(),
        actions,
    })
}

/// Whether one thing is there. What cannot be seen is not.
pub(super) fn facility(kernel: &dyn Kernel, release: &Release, kind: FacilityKind) -> Facility {
    let seen = match kind {
        FacilityKind::Kernel if *release >= Release::MINIMUM => Ok(format!("Linux {release}")),
        FacilityKind::Kernel => Err(format!("Linux {release}; {} is needed", Release::MINIMUM)),
        FacilityKind::DeviceMapper => kernel.device_mapper(),
        FacilityKind::Loop => kernel.loop_control(),
        FacilityKind::UdevRules => kernel.udev_rules(),
        FacilityKind::Tun => kernel.tun(),
        FacilityKind::Landlock => kernel.landlock(),
        FacilityKind::Overlays => kernel.overlay_folder(),
    };
    let available = seen.is_ok();
    Facility { kind, available, found: seen.unwrap_or_else(|missing| missing) }
}
