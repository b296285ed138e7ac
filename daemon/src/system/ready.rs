//! Whether the root helper does for this user what a VM needs: from what it says of itself.

use banger_proto::roothelper::{Answer, FacilityKind, HelperDescription};
use banger_proto::{Code, Refusal};

/// What a VM's disks need of the host.
const FACILITIES: [FacilityKind; 6] = [
    FacilityKind::Kernel,
    FacilityKind::DeviceMapper,
    FacilityKind::Loop,
    FacilityKind::UdevRules,
    FacilityKind::Overlays,
    FacilityKind::Landlock,
];
/// What a VM's disks need polkit to allow, without asking anybody.
const ACTIONS: [&str; 3] = [
    "dev.banger.roothelper.manage-snapshots",
    "dev.banger.roothelper.edit-files",
    "dev.banger.roothelper.discard-overlays",
];

/// What the bridge needs of the host beside that, and of polkit.
const BRIDGE: (FacilityKind, &str) = (FacilityKind::Tun, "dev.banger.roothelper.manage-network");

/// What a helper does for this user's VMs.
#[derive(Debug)]
pub(crate) struct Offer {
    /// A tap on its bridge, or why not.
    pub(crate) bridge: Result<(), Refusal>,
}

/// Refuses what cannot work, with everything that is missing.
pub(super) fn judge(said: &HelperDescription) -> Result<Offer, Refusal> {
    let Lacks { chain, host } = Lacks::of(said, &FACILITIES, &ACTIONS);
    if !chain.is_empty() {
        let hint = format!(
            "{}; or run the VM without the helper: --isolation rootless",
            if host { SEE_DOCTOR } else { JOIN }
        );
        let message = "the root helper cannot run VMs for you here";
        let refusal = Refusal::new(Code::FailedPrecondition, message).hint(hint);
        return Err(Refusal { chain, ..refusal });
    }
    let (facility, action) = BRIDGE;
    let Lacks { chain, host } = Lacks::of(said, &[facility], &[action]);
    if chain.is_empty() {
        return Ok(Offer { bridge: Ok(()) });
    }
    let hint = format!(
        "{}; or give the VM a network of its own: --net user",
        if host { SEE_DOCTOR } else { JOIN }
    );
    let message = "the root helper cannot connect VMs to its bridge for you here";
    let refusal = Refusal::new(Code::FailedPrecondition, message).hint(hint);
    Ok(Offer { bridge: Err(Refusal { chain, ..refusal }) })
}

const SEE_DOCTOR: &str = "see what to do: banger doctor";
const JOIN: &str =
    "join the group that may: sudo usermod --append --groups banger \"$USER\", then log in anew";

/// What of some facilities and actions is missing.
struct Lacks {
    chain: Vec<String>,
    /// The host lacks something, and not only a permission.
    host: bool,
}

impl Lacks {
    fn of(said: &HelperDescription, facilities: &[FacilityKind], actions: &[&str]) -> Self {
        let lacks = said
            .facilities
            .iter()
            .filter(|facility| facilities.contains(&facility.kind) && !facility.available)
            .map(|facility| facility.found.clone());
        let mut chain: Vec<String> = lacks.collect();
        let host = !chain.is_empty();
        chain.extend(actions.iter().filter_map(|action| answer(said, action)));
        Self { chain, host }
    }
}

/// What is in the way of an action.
fn answer(said: &HelperDescription, action: &str) -> Option<String> {
    let answer = said.actions.iter().find(|answer| answer.action == action);
    let why = match answer.map(|answer| answer.answer) {
        Some(Answer::Yes) => return None,
        Some(Answer::Challenge) => "polkit asks for a password",
        Some(Answer::No) => "polkit says no",
        Some(Answer::Unknown) | None => "polkit gives no answer",
    };
    Some(format!("{action}: {why}"))
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
                .chain([&BRIDGE.1])
                .map(|&action| ActionAnswer { action: action.into(), answer: Answer::Yes })
                .collect(),
        }
    }

    #[test]
    fn a_helper_that_has_all_and_may_all_is_ready() {
        assert!(judge(&description()).unwrap().bridge.is_ok());
    }

    #[test]
    fn without_taps_or_leave_to_have_them_there_are_vms_of_other_networks() {
        let mut without = description();
        for facility in &mut without.facilities {
            facility.available = facility.kind != FacilityKind::Tun;
        }
        let refused = judge(&without).unwrap().bridge.unwrap_err();
        assert!(refused.hint.contains("banger doctor"), "{}", refused.hint);
        let mut forbidden = description();
        for answer in &mut forbidden.actions {
            answer.answer = if answer.action == BRIDGE.1 { Answer::No } else { Answer::Yes };
        }
        let refused = judge(&forbidden).unwrap().bridge.unwrap_err();
        assert!(refused.hint.contains("usermod"), "{}", refused.hint);
        assert!(refused.hint.ends_with("--net user"), "{}", refused.hint);
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
