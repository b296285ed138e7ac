//! Whether the root helper does for this user what a VM needs: from what it says of itself.

use banger_proto::roothelper::{Answer, FacilityKind, HelperDescription};
use banger_proto::{Code, Refusal};

/// What a VM's disks need of the host.
const FACILITIES: [FacilityKind; 5] = [
    FacilityKind::Kernel,
    FacilityKind::DeviceMapper,
    FacilityKind::Loop,
    FacilityKind::UdevRules,
    FacilityKind::Overlays,
];
/// What a VM's disks need polkit to allow, without asking anybody.
const ACTIONS: [&str; 3] = [
    "dev.banger.roothelper.manage-snapshots",
    "dev.banger.roothelper.edit-files",
    "dev.banger.roothelper.discard-overlays",
];

/// Refuses what cannot work, with everything that is missing.
pub(super) fn judge(said: &HelperDescription) -> Result<(), Refusal> {
    let lacks = said
        .facilities
        .iter()
        .filter(|facility| FACILITIES.contains(&facility.kind) && !facility.available)
        .map(|facility| facility.found.clone());
    let mut chain: Vec<String> = lacks.collect();
    let host_lacks = !chain.is_empty();
    chain.extend(ACTIONS.into_iter().filter_map(|action| {
        let answer = said.actions.iter().find(|answer| answer.action == action);
        let why = match answer.map(|answer| answer.answer) {
            Some(Answer::Yes) => return None,
            Some(Answer::Challenge) => "polkit asks for a password",
            Some(Answer::No) => "polkit says no",
            Some(Answer::Unknown) | None => "polkit gives no answer",
        };
        Some(format!("{action}: {why}"))
    }));
    if chain.is_empty() {
        return Ok(());
    }
    let hint = if host_lacks {
        "see what to do: banger doctor; or run the VM without the helper: --isolation rootless"
    } else {
        "join the group that may: sudo usermod --append --groups banger \"$USER\", then log in anew; \
         or run the VM without the helper: --isolation rootless"
    };
    Err(Refusal {
        chain,
        ..Refusal::new(Code::FailedPrecondition, "the root helper cannot run VMs for you here")
            .hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use banger_proto::roothelper::{ActionAnswer, Facility, HelperLimits, HelperUsage};

    use super::*;

    fn description() -> HelperDescription {
        let found = |kind| Facility { kind, available: true, found: "there".into() };
        HelperDescription {
            version: "0.1.0".into(),
            limits: HelperLimits {
                overlay_quota_bytes: 1,
                vms: 1,
                read_bytes: 1,
                read_paths: 1,
                batch_entries: 1,
                batch_bytes: 1,
                keep_vms: 1,
            },
            usage: HelperUsage::default(),
            kernel: "6.12".into(),
            minimum_kernel: "6.5".into(),
            facilities: FacilityKind::ALL.iter().map(|&kind| found(kind)).collect(),
            actions: ACTIONS
                .iter()
                .map(|&action| ActionAnswer { action: action.into(), answer: Answer::Yes })
                .collect(),
        }
    }

    #[test]
    fn a_helper_that_has_all_and_may_all_is_ready() {
        assert!(judge(&description()).is_ok());
        // A VM of the user-mode network needs no tap.
        let mut without_taps = description();
        for facility in &mut without_taps.facilities {
            facility.available = facility.kind != FacilityKind::Tun;
        }
        assert!(judge(&without_taps).is_ok());
    }

    #[test]
    fn each_thing_that_is_missing_is_told() {
        for kind in FACILITIES {
            let mut said = description();
            for facility in &mut said.facilities {
                if facility.kind == kind {
                    (facility.available, facility.found) = (false, "none".into());
                }
            }
            let refused = judge(&said).unwrap_err();
            assert_eq!((refused.code, refused.chain.len()), (Code::FailedPrecondition, 1));
            assert!(refused.hint.contains("banger doctor"), "{}", refused.hint);
        }
        for answer in [Answer::Challenge, Answer::No, Answer::Unknown] {
            let mut said = description();
            said.actions[1].answer = answer;
            let refused = judge(&said).unwrap_err();
            assert!(refused.chain[0].starts_with(ACTIONS[1]), "{:?}", refused.chain);
            assert!(refused.hint.contains("usermod"), "{}", refused.hint);
        }
        let silent = HelperDescription { actions: Vec::new(), ..description() };
        assert_eq!(judge(&silent).unwrap_err().chain.len(), ACTIONS.len());
    }
}
