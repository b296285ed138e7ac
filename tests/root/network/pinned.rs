//! A tap lets through what comes from its guest's own addresses, and nothing else.

use std::net::Ipv4Addr;

use super::frame::{EVERYBODY, Frame, good_ping};
use super::place::{ANN, BEN, Card, GATEWAY, bridge, gateway, guest, sh};

/// Nobody's.
const OTHER: [u8; 6] = [2, 0x62, 9, 9, 9, 9];
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 200);

#[test]
fn what_a_guest_sends_from_addresses_that_are_not_its_own_goes_nowhere() {
    alone!();
    let (own, other) = (guest(ANN, 10), guest(BEN, 11));
    bridge(false, &[own, other]);
    let (mut card, mut host) = (Card::of(own), Card::listen("banger0"));
    let mut others = Card::of(other);
    let (mac, all) = (own.hardware(), EVERYBODY);
    let addresses = (own.address, GATEWAY);
    let text = "forged";
    let tagged = |tag: &[u8]| {
        let Frame(mut frame) = Frame::udp((gateway(), mac), addresses, 9, text);
        frame.splice(12..12, tag.iter().copied());
        Frame(frame)
    };
    let Frame(plain_arp) = Frame::arp((all, mac), 1, (mac, own.address), GATEWAY);
    let odd_arp = |at: usize, value: u8| {
        let mut arp = plain_arp.clone();
        arp[at] = value;
        arp.extend(text.as_bytes());
        Frame(arp)
    };
    let says = |hardware, claims: ([u8; 6], Ipv4Addr)| {
        let Frame(mut arp) = Frame::arp(hardware, 2, claims, GATEWAY);
        arp.extend(text.as_bytes());
        Frame(arp)
    };
    let forged = [
        ("another's hardware", Frame::udp((gateway(), other.hardware()), addresses, 9, text)),
        ("nobody's hardware", Frame::udp((gateway(), OTHER), addresses, 9, text)),
        ("the bridge's own", Frame::udp((gateway(), gateway()), addresses, 9, text)),
        ("another's address", Frame::udp((gateway(), mac), (other.address, GATEWAY), 9, text)),
        ("nobody's address", Frame::udp((gateway(), mac), (ELSEWHERE, GATEWAY), 9, text)),
        ("the host's address", Frame::udp((gateway(), mac), (GATEWAY, GATEWAY), 9, text)),
        (
            "no address",
            Frame::udp((all, mac), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST), 67, text),
        ),
        (
            "another's, all of it",
            Frame::udp((gateway(), other.hardware()), (other.address, GATEWAY), 9, text),
        ),
        ("IPv6", Frame::new(gateway(), mac, 0x86dd, &[&[0x60; 40], text.as_bytes()].concat())),
        ("a bridge's protocol", Frame::new([1, 0x80, 0xc2, 0, 0, 0], mac, 0x0026, text.as_bytes())),
        ("a name of Ethernet's", Frame::new(gateway(), mac, 0x88cc, text.as_bytes())),
        ("a tag", tagged(&[0x81, 0, 0, 7])),
        ("a tag of no network", tagged(&[0x81, 0, 0, 0])),
        ("two tags", tagged(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 7])),
        ("a packet that is cut", Frame::new(gateway(), mac, 0x0800, &text.as_bytes()[..6])),
        ("ARP for another's address", says((all, mac), (mac, other.address))),
        ("ARP for the host's address", says((all, mac), (mac, GATEWAY))),
        ("ARP with another's hardware", says((all, mac), (other.hardware(), own.address))),
        ("ARP in another's frame", says((all, other.hardware()), (mac, own.address))),
        ("ARP for nobody's address", says((all, mac), (mac, ELSEWHERE))),
        ("ARP of another network", odd_arp(15, 6)),
        ("ARP of another protocol", odd_arp(17, 1)),
        ("ARP of longer hardware", odd_arp(18, 8)),
        ("ARP of longer addresses", odd_arp(19, 16)),
        // The bridge does not see these: it gives them to the host.
        ("past the bridge", Frame::udp(([1, 0x80, 0xc2, 0, 0, 0x0e], mac), addresses, 9, text)),
        (
            "past the bridge, rightly",
            Frame::ping(([1, 0x80, 0xc2, 0, 0, 0x0e], mac), addresses, 99),
        ),
        ("to other bridges", Frame::udp(([1, 0x80, 0xc2, 0, 0, 3], mac), addresses, 9, text)),
    ];
    for (at, (what, frame)) in forged.iter().enumerate() {
        card.send(frame);
        // Frames of one tap do not overtake each other.
        card.send(&good_ping(own, at as u8));
        let mut answer = card.expect(what, |frame| frame.0.get(12..14) == Some(&[8, 0]));
        assert!(answer.answers(at as u8), "{what} was answered: {answer:?}");
        host.expect(what, |frame| *frame == good_ping(own, at as u8));
        answer.0.clear();
    }
    for heard in [host.rest(), others.rest()].concat() {
        assert!(!heard.has(text), "{heard:?}");
        assert!(
            heard.source().is_none_or(|from| [own.address, GATEWAY].contains(&from)),
            "{heard:?}"
        );
    }
    // Each was counted where it was dropped, and the host was asked nothing.
    let counted = sh("nft list chain bridge banger from_guests | grep -o 'packets [0-9]*'");
    assert_eq!(counted, format!("packets {}", forged.len() - 3));
    let counted =
        sh("nft list chain inet banger prerouting | grep -o 'packets [0-9]*' | head -n 1");
    assert_eq!(counted, "packets 3");
    let neighbours = sh("ip neigh show dev banger0");
    assert_eq!(neighbours.lines().count(), 2, "{neighbours}");
    assert_eq!(neighbours.matches("PERMANENT").count(), 2, "{neighbours}");
}

#[test]
fn a_guest_has_its_gateway_by_arp_and_its_own_address_by_itself() {
    alone!();
    let own = guest(ANN, 10);
    bridge(false, &[own]);
    let mut card = Card::of(own);
    card.send(&Frame::arp((EVERYBODY, own.hardware()), 1, (own.hardware(), own.address), GATEWAY));
    let answer =
        card.expect("the gateway's hardware", |frame| frame.0.get(12..14) == Some(&[8, 6]));
    assert_eq!(answer.0[22..28], gateway());
    assert_eq!(answer.0[28..32], GATEWAY.octets());
    // Another address of the host's is none of the guest's business.
    sh("ip address add 192.0.2.9/32 dev lo");
    let asked = Ipv4Addr::new(192, 0, 2, 9);
    card.send(&Frame::arp((EVERYBODY, own.hardware()), 1, (own.hardware(), own.address), asked));
    card.send(&good_ping(own, 1));
    card.expect("the answer", |frame| frame.answers(1));
    assert!(card.rest().iter().all(|frame| frame.0.get(12..14) != Some(&[8, 6])));
}
