//! Plans of attaching, and what is left when a step fails.

use std::net::Ipv4Addr;

use banger_proto::VmId;
use proptest::prelude::*;

use super::super::network::{objects_of, remove_all};
use super::*;
use crate::kernel::Network;
use crate::kernel::network::{Bridge, Route, Tap};
use crate::kernel::simulated::Simulated;
use crate::{Limits, OwnerUid, Pool};

fn new(uid: u32) -> Ownership {
    Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() }
}

fn small() -> Config {
    Config { pool: "10.0.0.8/29".parse().unwrap(), ..Config::default() }
}

fn attached(kernel: &Simulated, config: Config, ownership: Ownership) -> AttachedNetwork {
    attach(kernel, &VmLocks::default(), config, ownership).unwrap()
}

#[test]
fn a_first_attach_makes_bridge_rules_and_tap_in_this_order() {
    let wiring = Simulated::default().wiring().unwrap();
    let (ownership, config) = (new(1000), Config::default());
    let plan = plan(&wiring, config, ownership).unwrap();
    let rules = Rules { pool: Pool::DEFAULT, nat: false, guests: vec![plan.guest] };
    let steps = [Step::Bridge(Pool::DEFAULT), Step::Rules(rules), Step::Make(plan.guest)];
    assert_eq!(plan.steps, steps);
    assert_eq!(plan.change, Change::Created);
    assert!(Pool::DEFAULT.is_guests(plan.guest.address));
}

#[test]
fn a_vm_keeps_what_it_has_and_what_is_around_it_is_set_right() {
    let (kernel, ownership) = (Simulated::default(), new(1000));
    let config = Config { nat: true, ..Config::default() };
    let first = attached(&kernel, config, ownership);
    assert_eq!((first.change, first.nat), (Change::Created, true));
    assert_eq!(first.tap.gateway, Ipv4Addr::new(172, 16, 0, 1));
    assert_eq!(first.tap.mac[2..], first.tap.address.octets());
    kernel.state().cables.rules = None;
    // A route that came since concerns nobody who is there.
    let network = Ipv4Addr::new(172, 16, 0, 0);
    kernel.state().cables.routes.push(Route { network, prefix: 12, through: None });
    let again = attached(&kernel, config, ownership);
    assert_eq!(again, AttachedNetwork { change: Change::None, ..first });
    assert_eq!(kernel.state().cables.rules.as_ref().unwrap().guests.len(), 1);
    kernel.state().cables.forwarding = false;
    assert!(!attached(&kernel, config, ownership).nat, "nothing is let out that is not forwarded");
}

#[test]
fn a_pool_that_is_full_is_told_with_its_figures_and_addresses_come_back() {
    let kernel = Simulated::default();
    let all: Vec<_> = (0..5).map(|at| new(1000 + at)).collect();
    let addresses: Vec<_> =
        all.iter().map(|one| attached(&kernel, small(), *one).tap.address).collect();
    let mut sorted = addresses.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 5, "{addresses:?}");
    let refusal = attach(&kernel, &VmLocks::default(), small(), new(1)).unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted);
    assert_eq!(refusal.message, "all 5 addresses for VMs of the pool 10.0.0.8/29 are taken");
    assert!(refusal.hint.contains("pool"), "{}", refusal.hint);
    kernel.state().cables.taps.remove(2);
    assert_eq!(attached(&kernel, small(), new(1)).tap.address, sorted[2]);
}

#[test]
fn taps_count_per_user() {
    let kernel = Simulated::default();
    let limits = Limits { vms: 2, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let (first, second) = (new(1000), new(1000));
    attached(&kernel, config, first);
    attached(&kernel, config, second);
    let refusal = attach(&kernel, &VmLocks::default(), config, new(1000)).unwrap_err();
    assert_eq!(refusal.code, Code::ResourceExhausted);
    assert_eq!(refusal.message, "attached VMs would be 3, more than the limit of 2");
    attached(&kernel, config, new(1001));
    assert_eq!(attached(&kernel, config, first).change, Change::None);
    let own = objects_of(&kernel, first.uid).unwrap();
    assert_eq!(own.iter().filter(|object| object.vm == first.vm).count(), 1);
    assert_eq!(own.len(), 2);
}

#[test]
fn a_pool_that_is_somebody_elses_network_is_refused_with_its_route_and_key() {
    let refused = |network: [u8; 4], prefix, through: Option<&str>| {
        let kernel = Simulated::default();
        let through = through.map(str::to_owned);
        kernel.state().cables.routes = vec![Route { network: network.into(), prefix, through }];
        let result = attach(&kernel, &VmLocks::default(), Config::default(), new(1000));
        assert_eq!(result.is_err(), kernel.state().cables.bridge == Bridge::Missing);
        result.err()
    };
    let refusal = refused([172, 16, 0, 0], 12, Some("wg0")).unwrap();
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(
        refusal.message,
        "the pool of the bridge, 172.16.0.0/24, collides with this host's route to 172.16.0.0/12 through wg0"
    );
    assert!(refusal.hint.contains("`pool` in the table [network] of /etc/banger/roothelper.toml"));
    assert!(refused([172, 16, 0, 200], 32, None).is_some());
    for (network, prefix) in [([0; 4], 0), ([128, 0, 0, 0], 1), ([172, 17, 0, 0], 16)] {
        assert_eq!(refused(network, prefix, Some("eth0")), None);
    }
}

#[test]
fn a_bridge_of_somebody_elses_is_left_alone() {
    let kernel = Simulated::default();
    kernel.state().cables.bridge = Bridge::Foreign;
    let refusal = attach(&kernel, &VmLocks::default(), Config::default(), new(1000)).unwrap_err();
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert!(refusal.message.contains("banger0"), "{}", refusal.message);
    remove_all(&kernel).unwrap();
    assert_eq!(kernel.state().cables.bridge, Bridge::Foreign);
}

#[test]
fn another_pool_waits_for_those_who_have_addresses_of_the_old_one() {
    let (kernel, ownership) = (Simulated::default(), new(1000));
    attached(&kernel, Config::default(), ownership);
    for who in [ownership, new(1001)] {
        let refusal = attach(&kernel, &VmLocks::default(), small(), who).unwrap_err();
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert!(refusal.message.contains("10.0.0.8/29 now, and 1 attached"), "{}", refusal.message);
    }
    kernel.state().cables.taps.clear();
    attached(&kernel, small(), ownership);
    assert_eq!(kernel.state().cables.pool, Some(small().pool));
}

#[test]
fn a_step_that_fails_leaves_what_was_there() {
    for failing in ["wiring", "make_bridge", "set_rules", "make_tap"] {
        let kernel = Simulated::default();
        attached(&kernel, Config::default(), new(1001));
        let (taps, rules) = {
            let cables = &mut kernel.state().cables;
            cables.failing.push(failing);
            (cables.taps.clone(), cables.rules.clone())
        };
        let refusal =
            attach(&kernel, &VmLocks::default(), Config::default(), new(1000)).unwrap_err();
        assert_eq!(refusal.code, Code::Internal);
        assert_eq!(refusal.chain, ["Operation not permitted (os error 1)"]);
        assert_eq!(kernel.state().cables.taps, taps, "{failing}");
        assert_eq!(kernel.state().cables.rules, rules, "{failing}");
    }
    let kernel = Simulated::default();
    kernel.state().cables.failing.extend(["make_tap"]);
    let refusal = attach(&kernel, &VmLocks::default(), Config::default(), new(1000)).unwrap_err();
    assert_eq!(refusal.chain.len(), 1);
    assert_eq!(kernel.state().cables.rules.as_ref().unwrap().guests, []);
}

#[test]
fn everything_goes_when_the_helper_is_uninstalled() {
    let kernel = Simulated::default();
    for uid in 1000..1010 {
        attached(&kernel, Config::default(), new(uid));
    }
    remove_all(&kernel).unwrap();
    let cables = &kernel.state().cables;
    assert_eq!((cables.bridge, cables.taps.len()), (Bridge::Missing, 0));
    assert_eq!(cables.rules, None);
}

proptest! {
    #[test]
    fn an_address_is_a_guests_free_and_the_same_every_time(
        taken: Vec<u8>, uid in 1u32..60_000, id: [u8; 16]
    ) {
        let config = small();
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        let ownership = Ownership { uid: OwnerUid::new(uid).unwrap(), vm: text.parse().unwrap() };
        let mut wiring = Simulated::default().wiring().unwrap();
        for at in taken.iter().take(4) {
            let guest = Guest { ownership: new(1), address: config.pool.guest(u32::from(*at)) };
            wiring.taps.push(Tap { guest, index: 9, open: false });
        }
        let address = choose(&wiring, config.pool, ownership).unwrap();
        prop_assert!(config.pool.is_guests(address));
        prop_assert!(wiring.taps.iter().all(|tap| tap.guest.address != address));
        prop_assert_eq!(choose(&wiring, config.pool, ownership).unwrap(), address);
    }
}
