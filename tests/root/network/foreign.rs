//! What is somebody else's, or in somebody's hands: it is left alone, and who asks is told what to type.

use banger_proto::{Code, VmId};
use banger_roothelper::kernel::Network;
use banger_roothelper::{Config, Names, OwnerUid, Ownership};

use super::place::{ANN, Card, bridge, guest, sh};
use super::served::Helper;

#[test]
fn what_has_a_name_of_ours_is_named_with_what_shows_and_removes_it() {
    alone!();
    let helper = Helper::new(Config::default());
    let ownership = Ownership { uid: OwnerUid::new(ANN).unwrap(), vm: VmId::random() };
    let tap = Names::of(ownership).tap;
    for (add, shows, removes) in [
        (
            "ip link add banger0 type bridge".to_owned(),
            "ip -details link show banger0",
            "ip link delete banger0",
        ),
        (
            "nft 'add table inet banger; add chain inet banger mine'".to_owned(),
            "nft list table inet banger",
            "nft delete table inet banger",
        ),
        (
            "nft add table bridge banger".to_owned(),
            "nft list table bridge banger",
            "nft delete table bridge banger",
        ),
        (
            format!("ip link add {tap} type bridge"),
            &*format!("ip -details link show {tap}"),
            &*format!("ip link delete {tap}"),
        ),
    ] {
        sh(&add);
        let before = sh(shows);
        let refusal = helper.attach(ANN, ownership.vm).unwrap_err();
        assert_eq!(refusal.code, Code::FailedPrecondition, "{add}: {refusal:?}");
        let hint = format!("if nobody needs it: sudo {removes}");
        assert!(refusal.hint.contains(shows) && refusal.hint.ends_with(&hint), "{refusal:?}");
        assert!(!refusal.chain.iter().any(|cause| cause.contains("is left")), "{refusal:?}");
        assert_eq!(sh(shows), before, "{add}");
        // The hint's own words mend it.
        sh(removes);
    }
    helper.attach(ANN, ownership.vm).unwrap();
}

#[test]
fn a_tap_that_somebody_has_open_is_not_idle() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(false, &[own]);
    let listed = linux.wiring().unwrap().taps[0];
    assert!(!listed.open);
    // Opened after the look.
    let card = Card::of(own);
    assert!(!linux.remove_idle_tap(listed).unwrap());
    assert!(linux.wiring().unwrap().taps[0].open);
    card.close();
    assert!(linux.remove_idle_tap(listed).unwrap());
    assert_eq!(linux.wiring().unwrap().taps, []);
    // That it is gone is fine, and nothing is made.
    assert!(linux.remove_idle_tap(listed).unwrap());
    assert_eq!(sh("ip -oneline link | grep -c bgr || true"), "0");
}
