//! What guests do not reach: those of other owners, the host's services, what is another's.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use banger_roothelper::kernel::Network;

use super::frame::{EVERYBODY, Frame, good_ping};
use super::place::{ANN, BEN, Card, GATEWAY, SOON, bridge, gateway, guest, name, rules, sh};

/// Where clouds tell secrets to whoever asks.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

#[test]
fn guests_of_two_owners_do_not_reach_each_other_by_any_way() {
    alone!();
    let (own, one, other) = (guest(ANN, 10), guest(BEN, 11), guest(BEN, 12));
    bridge(true, &[own, one, other]);
    sh("sysctl -q net.ipv4.ip_forward=1");
    let mut card = Card::of(own);
    let mut others = [Card::of(one), Card::of(other)];
    for (to, hears) in [one, other].into_iter().zip(&mut others) {
        let addresses = (own.address, to.address);
        for hardware in [to.hardware(), EVERYBODY, gateway(), [1, 0, 0x5e, 0, 0, 1]] {
            card.send(&Frame::udp((hardware, own.hardware()), addresses, 9, "neighbour"));
        }
        let ask = |hardware| {
            Frame::arp((hardware, own.hardware()), 1, (own.hardware(), own.address), to.address)
        };
        card.send(&ask(EVERYBODY));
        card.send(&ask(to.hardware()));
        // Whatever came before this has come.
        card.send(&good_ping(own, to.address.octets()[3]));
        card.expect("an answer", |frame| frame.answers(to.address.octets()[3]));
        let host = UdpSocket::bind((GATEWAY, 0)).unwrap();
        host.send_to(b"from the host", (to.address, 9)).unwrap();
        hears.expect("the host", |frame| frame.has("from the host"));
        let heard = hears.rest();
        assert!(heard.is_empty(), "{heard:?}");
    }
    let dropped =
        sh("nft list chain inet banger forward | grep 'no others' | grep -o 'packets [0-9]*'");
    // Of each pair only what went to the bridge's own address came so far.
    assert_eq!(dropped, "packets 2");
    // Nor does anybody hear what is for everybody, from the host.
    let host = UdpSocket::bind((GATEWAY, 0)).unwrap();
    host.set_broadcast(true).unwrap();
    host.send_to(b"everybody", ("172.16.0.255", 9)).unwrap();
    for (at, hears) in others.iter_mut().enumerate() {
        hears.send(&good_ping([one, other][at], 77));
        hears.expect("an answer", |frame| frame.answers(77));
        assert!(!hears.rest().iter().any(|frame| frame.has("everybody")));
    }
}

/// The host is the way, also where it forwards nothing else: ports stay isolated.
#[test]
fn guests_of_one_owner_reach_each_other_by_address_and_by_nothing_else() {
    alone!();
    for nat in [false, true] {
        let (own, friend, other) = (guest(ANN, 10), guest(ANN, 11), guest(BEN, 12));
        let linux = bridge(nat, &[own, friend, other]);
        sh(&format!("sysctl -q net.ipv4.ip_forward={}", u8::from(nat)));
        // Writing that one writes those of all interfaces.
        linux.make_bridge(banger_roothelper::Pool::DEFAULT).unwrap();
        let (mut card, mut hears, mut else_) = (Card::of(own), Card::of(friend), Card::of(other));
        let addresses = (own.address, friend.address);
        // It asks for its friend, and the host answers with its own address of hardware.
        card.send(&Frame::arp(
            (EVERYBODY, own.hardware()),
            1,
            (own.hardware(), own.address),
            friend.address,
        ));
        let answer = [&gateway()[..], &friend.address.octets()].concat();
        card.expect("the host's answer", |Frame(frame)| {
            frame.get(12..14) == Some(&[8, 6]) && frame.get(22..32) == Some(&answer[..])
        });
        for hardware in [friend.hardware(), EVERYBODY, [1, 0, 0x5e, 0, 0, 1]] {
            card.send(&Frame::udp((hardware, own.hardware()), addresses, 9, "straight"));
        }
        card.send(&Frame::udp((gateway(), own.hardware()), addresses, 9, "by the host"));
        hears.expect("the friend", |frame| frame.has("by the host"));
        let back = (friend.address, own.address);
        hears.send(&Frame::udp((gateway(), friend.hardware()), back, 1234, "and back"));
        card.expect("the answer", |frame| frame.has("and back"));
        assert!(!hears.rest().iter().any(|frame| frame.has("straight")));
        // Whose an address is counts, and not which it is.
        let mut sold = friend;
        sold.ownership = other.ownership;
        linux.set_rules(&rules(nat, &[own, sold, other])).unwrap();
        linux.set_rules(&rules(nat, &[own, friend, other])).unwrap();
        card.send(&Frame::udp((gateway(), own.hardware()), addresses, 9, "once more"));
        hears.expect("the friend", |frame| frame.has("once more"));
        linux.set_rules(&rules(nat, &[own, other])).unwrap();
        card.send(&Frame::udp((gateway(), own.hardware()), addresses, 9, "no more"));
        card.send(&good_ping(own, 5));
        card.expect("an answer", |frame| frame.answers(5));
        assert!(!hears.rest().iter().any(|frame| frame.has("no more")));
        assert!(else_.rest().is_empty());
        for card in [card, hears, else_] {
            card.close();
        }
        for tap in linux.wiring().unwrap().taps {
            linux.remove_tap(tap).unwrap();
        }
        linux.remove_network().unwrap();
    }
}

/// The guest sends this to an address of the host's, where somebody listens who hears nothing.
#[test]
fn no_service_of_the_host_hears_a_guest_and_the_host_hears_answers() {
    alone!();
    let own = guest(ANN, 10);
    bridge(true, &[own]);
    sh("sysctl -q net.ipv4.ip_forward=1; ip link add eth0 type bridge; ip link set eth0 up; \
        ip address add 192.0.2.9/24 dev eth0; ip address add 169.254.169.254/32 dev lo");
    let mut card = Card::of(own);
    let listening = UdpSocket::bind("0.0.0.0:53").unwrap();
    let _accepting = TcpListener::bind("0.0.0.0:22").unwrap();
    let host = (gateway(), own.hardware());
    let addresses =
        [GATEWAY, Ipv4Addr::new(192, 0, 2, 9), METADATA, Ipv4Addr::new(172, 16, 0, 255)];
    for (at, to) in addresses.into_iter().enumerate() {
        card.send(&Frame::udp(host, (own.address, to), 53, "question"));
        // A SYN to port 22.
        let syn = [4, 0xd2, 0, 22, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
        card.send(&Frame::ipv4(host, (own.address, to), 6, &syn));
        if to != GATEWAY {
            card.send(&Frame::ping(host, (own.address, to), 50 + at as u8));
        }
    }
    card.send(&good_ping(own, 1));
    card.expect("an answer", |frame| frame.answers(1));
    let heard = card.rest();
    assert!(heard.is_empty(), "the host said {heard:?}");
    listening.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert!(listening.recv(&mut [0; 100]).is_err(), "the host heard it");

    // What the host began, the guest may go on with.
    let asks = UdpSocket::bind((GATEWAY, 1234)).unwrap();
    asks.set_read_timeout(Some(SOON)).unwrap();
    asks.send_to(b"how are you", (own.address, 1234)).unwrap();
    card.expect("the host", |frame| frame.has("how are you"));
    card.send(&Frame::udp(host, (own.address, GATEWAY), 1234, "well"));
    let mut answer = [0; 100];
    let length = asks.recv(&mut answer).expect("the guest's answer comes");
    assert_eq!(&answer[..length], b"well");
}

#[test]
fn another_users_tap_is_not_opened_and_its_own_needs_no_rights() {
    alone!();
    let own = guest(ANN, 10);
    bridge(false, &[own]);
    let error = Card::opened_by(BEN, &name(own)).err().unwrap();
    assert!(error.contains("Operation not permitted"), "{error}");
    let mut card = Card::of(own);
    let error = Card::opened_by(ANN, &name(own)).err().unwrap();
    assert!(error.contains("Device or resource busy"), "{error}");
    card.send(&good_ping(own, 1));
    card.expect("an answer", |frame| frame.answers(1));
    card.close();
    // And again, as its VMM is started anew.
    let mut card = Card::of(own);
    card.send(&good_ping(own, 2));
    card.expect("an answer", |frame| frame.answers(2));
}

/// Whoever has a tap open may give the tap itself any address.
#[test]
fn a_tap_that_takes_anothers_address_gets_nothing_of_the_others() {
    alone!();
    let (thief, victim, later) = (guest(BEN, 10), guest(ANN, 11), guest(ANN, 12));
    let linux = bridge(false, &[thief, victim]);
    let (mut steals, mut has) = (Card::of(thief), Card::of(victim));
    steals.set_own_address(victim.hardware());
    steals.set_own_address(later.hardware());
    linux.set_rules(&rules(false, &[thief, victim, later])).unwrap();
    linux.make_tap(later).unwrap();
    let mut came = Card::of(later);
    let host = UdpSocket::bind((GATEWAY, 0)).unwrap();
    for address in [later.hardware(), victim.hardware(), gateway(), victim.hardware()] {
        steals.set_own_address(address);
        for (guest, card) in [(victim, &mut has), (later, &mut came)] {
            host.send_to(b"a secret", (guest.address, 9)).unwrap();
            card.expect("what is for this guest", |frame| frame.has("a secret"));
            card.send(&good_ping(guest, 3));
            card.expect("an answer", |frame| frame.answers(3));
        }
        steals.send(&good_ping(thief, 4));
        steals.expect("an answer", |frame| frame.answers(4));
        let heard = steals.rest();
        assert!(heard.is_empty(), "{heard:?}");
    }
}
