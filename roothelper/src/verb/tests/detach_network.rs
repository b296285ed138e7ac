//! Plans of detaching.

use banger_proto::VmId;

use super::*;
use crate::OwnerUid;
use crate::kernel::Network;
use crate::kernel::network::{Guest, Tap};
use crate::kernel::simulated::Simulated;

fn tap(uid: u32, last: u8) -> Tap {
    let ownership = Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() };
    let guest = Guest { ownership, address: [172, 16, 0, last].into() };
    Tap { guest, index: last.into(), open: false }
}

fn wiring(taps: &[Tap]) -> Wiring {
    Wiring { taps: taps.to_vec(), bridge: Bridge::Ours, ..Simulated::default().wiring().unwrap() }
}

#[test]
fn the_tap_goes_and_then_its_rules_and_no_others() {
    let (own, other) = (tap(1000, 5), tap(1001, 6));
    let plan = plan(&wiring(&[own, other]), Config::default(), own.guest.ownership);
    assert_eq!(plan.change, Change::Removed);
    assert_eq!(plan.rules.guests, [other.guest]);
    assert_eq!(plan.steps, [Step::Remove(own), Step::Rules(plan.rules.clone())]);
}

#[test]
fn another_users_tap_of_the_same_vm_is_none() {
    let other = tap(1001, 6);
    let uid = OwnerUid::new(1000).unwrap();
    let ownership = Ownership { uid, ..other.guest.ownership };
    let plan = plan(&wiring(&[other]), Config::default(), ownership);
    assert_eq!(plan.change, Change::None);
    assert_eq!(plan.steps, [Step::Rules(plan.rules.clone())]);
    assert_eq!(plan.rules.guests, [other.guest]);
}

#[test]
fn where_there_is_no_bridge_nothing_is_made() {
    let nothing = Simulated::default().wiring().unwrap();
    let plan = plan(&nothing, Config::default(), tap(1000, 5).guest.ownership);
    assert_eq!((plan.change, plan.steps), (Change::None, Vec::new()));
}
