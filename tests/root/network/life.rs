//! Bridge and taps: what they are like, and that nothing is left of them.

use banger_roothelper::Pool;
use banger_roothelper::kernel::Network;
use banger_roothelper::kernel::network::{Bridge, Tap};

use super::frame::good_ping;
use super::place::{ANN, Card, bridge, guest, name, rules, sh};

#[test]
fn a_tap_is_a_port_that_keeps_to_itself_and_says_whose_it_is() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(false, &[own]);
    let said = sh(&format!("ip -details link show {}", name(own)));
    for what in [
        "master banger0",
        "NOARP",
        "UP",
        "mtu 1500",
        "tun type tap pi off vnet_hdr on persist on user",
        "isolated on",
        "learning off",
        " flood off",
        "mcast_flood off",
        "bcast_flood off",
        "hairpin off",
        "guard on",
        "addrgenmode none",
        &format!("altname banger-u{ANN}-{}", own.ownership.vm),
        &format!("alias banger-u{ANN}-{} 172.16.0.10", own.ownership.vm),
    ] {
        assert!(said.contains(what), "{what}\n{said}");
    }
    let said = sh("ip -details link show banger0; ip address show banger0");
    for what in [
        "02:62:ac:10:00:01",
        "stp_state 0",
        "mcast_snooping 0",
        "addrgenmode none",
        "inet 172.16.0.1/24 brd 172.16.0.255",
    ] {
        assert!(said.contains(what), "{what}\n{said}");
    }
    assert!(!said.contains("inet6"), "{said}");
    for (key, value) in [
        ("accept_redirects", "0"),
        ("send_redirects", "0"),
        ("arp_ignore", "1"),
        ("rp_filter", "1"),
    ] {
        assert_eq!(sh(&format!("cat /proc/sys/net/ipv4/conf/banger0/{key}")), value, "{key}");
    }
    assert_eq!(sh("ip -6 address show dev banger0; ip -6 route show dev banger0"), "");

    let seen = || linux.wiring().unwrap();
    let index: u32 =
        sh(&format!("ip -oneline link show {} | cut -d : -f 1", name(own))).parse().unwrap();
    assert_eq!(seen().taps, [Tap { guest: own, index, open: false }]);
    let card = Card::of(own);
    assert!(seen().taps[0].open);
    card.close();
    assert!(!seen().taps[0].open);
    assert_eq!(linux.taps_of(own.ownership.uid).unwrap().len(), 1);
    assert!(!seen().forwarding);
    sh("sysctl -q net.ipv4.ip_forward=1");
    assert!(seen().forwarding);
}

#[test]
fn a_hundred_taps_that_come_and_go_leave_nothing() {
    alone!();
    let stays = guest(ANN, 10);
    let linux = bridge(true, &[stays]);
    let state = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let told = sh(
            "ip -oneline link | cut -d ' ' -f 2; ip -oneline address show | cut -d ' ' -f 2-7; \
             ip -4 route show table all | sed 's/linkdown *//'; \
             ip neigh show; bridge fdb show; nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'",
        );
        (open, told)
    };
    let before = state();
    for _ in 0..100 {
        let comes = guest(ANN, 11);
        linux.set_rules(&rules(true, &[stays, comes])).unwrap();
        linux.make_tap(comes).unwrap();
        let tap = linux.wiring().unwrap().taps.into_iter().find(|tap| tap.guest == comes).unwrap();
        linux.remove_tap(tap).unwrap();
        // That it is gone already is fine.
        linux.remove_tap(tap).unwrap();
        linux.set_rules(&rules(true, &[stays])).unwrap();
    }
    let after = state();
    assert_eq!(before, after);
}

#[test]
fn a_tap_that_cannot_be_made_whole_is_not_there() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(false, &[]);
    let there = || sh("ip -oneline link | grep -c bgr || true");
    // Somebody has its second name.
    sh("ip link add other type bridge");
    sh(&format!("ip link property add dev other altname banger-u{ANN}-{}", own.ownership.vm));
    let error = linux.make_tap(own).unwrap_err();
    assert_eq!((error.doing, error.source.raw_os_error()), ("give the tap its names", Some(17)));
    assert_eq!(there(), "0");
    sh("ip link delete other");
    // Somebody has its name.
    sh(&format!("ip tuntap add {} mode tap", name(own)));
    assert!(linux.make_tap(own).is_err());
    assert_eq!(linux.wiring().unwrap().taps, []);
    sh(&format!("ip link delete {}", name(own)));
    // There is no bridge.
    linux.remove_network().unwrap();
    assert!(linux.make_tap(own).is_err());
    assert_eq!(there(), "0");
    linux.make_bridge(Pool::DEFAULT).unwrap();
    linux.make_tap(own).unwrap();
    assert_eq!(there(), "1");
}

#[test]
fn a_bridge_is_set_right_and_gets_another_pool() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(false, &[own]);
    assert_eq!(linux.wiring().unwrap().bridge, Bridge::Ours);
    sh(
        "ip link set banger0 down; ip address flush dev banger0; ip link set banger0 address 02:00:00:00:00:09; \
        ip link set banger0 type bridge stp_state 1 mcast_snooping 1",
    );
    linux.make_bridge(Pool::DEFAULT).unwrap();
    linux.set_rules(&rules(false, &[own])).unwrap();
    let mut card = Card::of(own);
    card.send(&good_ping(own, 1));
    card.expect("an answer", |frame| frame.answers(1));
    assert_eq!(sh("ip -details link show banger0 | grep -c 'stp_state 0.*mcast_snooping 0'"), "1");
    linux.make_bridge("10.9.0.0/16".parse().unwrap()).unwrap();
    let said = sh("ip -brief -4 address show banger0");
    assert!(said.ends_with("10.9.0.1/16") || said.ends_with("10.9.0.1/16 "), "{said}");
    assert!(sh("ip link show banger0").contains("02:62:0a:09:00:01"));
}
