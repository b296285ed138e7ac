//! The world beyond this computer: a second network, with a way there by root's configuration alone.

use std::process::{Child, Command, Stdio};

use banger_roothelper::kernel::Network;

use super::frame::{Frame, good_ping};
use super::place::{ANN, Card, bridge, gateway, guest, rules, sh};

/// Another computer, at 192.0.2.2 behind the host's `eth0`, and at 169.254.169.254.
struct Elsewhere(Child);

impl Elsewhere {
    fn new() -> Self {
        let child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        // It is another network once it has unshared.
        sh(&format!(
            "for i in $(seq 200); do [ $(readlink /proc/{pid}/ns/net) != $(readlink /proc/self/ns/net) ] && break; sleep 0.02; done; \
             ip link add eth0 type veth peer name eth1; ip link set eth1 netns {pid}; \
             ip address add 192.0.2.9/24 dev eth0; ip link set eth0 up; \
             nsenter --target {pid} --net sh -c 'ip link set lo up; ip address add 192.0.2.2/24 dev eth1; \
             ip address add 169.254.169.254/32 dev lo; ip link set eth1 up; ip route add 172.16.0.0/24 via 192.0.2.9'; \
             ip route add 169.254.169.254/32 via 192.0.2.2; sysctl -q net.ipv4.ip_forward=1"
        ));
        Self(child)
    }

    /// What passes there.
    fn listen(&self) -> Card {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]);
        Card::start(command, ["packet", "eth1"]).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn with_nat_a_guest_is_answered_from_elsewhere_and_nobody_comes_in() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(true, &[own]);
    let elsewhere = Elsewhere::new();
    let (mut card, mut world) = (Card::of(own), elsewhere.listen());
    let out = (gateway(), own.hardware());
    let there = "192.0.2.2".parse().unwrap();
    card.send(&Frame::ping(out, (own.address, there), 5));
    let answer = card.expect("an answer from elsewhere", |frame| frame.answers(5));
    assert_eq!(answer.source(), Some(there));
    // It came with the host's address.
    let seen = world.expect("the ping", |frame| frame.0.get(34) == Some(&8));
    assert_eq!(seen.source(), Some("192.0.2.9".parse().unwrap()));

    // Not to where clouds tell secrets, with or without a way there.
    let metadata = "169.254.169.254".parse().unwrap();
    card.send(&Frame::udp(out, (own.address, metadata), 80, "credentials"));
    card.send(&Frame::udp(out, (own.address, there), 80, "allowed"));
    world.expect("what is allowed", |frame| frame.has("allowed"));
    assert!(!world.rest().iter().any(|frame| frame.has("credentials")));

    // Whoever is elsewhere does not reach the guest, though it knows the way.
    sh(&format!(
        "nsenter --target {} --net bash -c 'echo intruder >/dev/udp/172.16.0.10/9'",
        elsewhere.0.id()
    ));
    world.expect("what went out there", |frame| frame.has("intruder"));
    card.send(&good_ping(own, 6));
    card.expect("an answer", |frame| frame.answers(6));
    assert!(!card.rest().iter().any(|frame| frame.has("intruder")));

    // A port that the host hands on to somewhere is a service of the host's.
    sh(
        "nft add table ip other; nft add chain ip other nat '{ type nat hook prerouting priority -100; }'; \
        nft add rule ip other nat udp dport 8080 dnat to 192.0.2.2:80",
    );
    card.send(&Frame::udp(out, (own.address, "172.16.0.1".parse().unwrap()), 8080, "published"));
    card.send(&Frame::udp(out, (own.address, there), 80, "allowed again"));
    world.expect("what is allowed", |frame| frame.has("allowed again"));
    assert!(!world.rest().iter().any(|frame| frame.has("published")));

    // Without NAT nothing goes out, also of what has begun.
    linux.set_rules(&rules(false, &[own])).unwrap();
    card.send(&Frame::ping(out, (own.address, there), 5));
    card.send(&Frame::udp(out, (own.address, there), 80, "forbidden"));
    card.send(&good_ping(own, 7));
    card.expect("an answer", |frame| frame.answers(7));
    assert!(!card.rest().iter().any(|frame| frame.answers(5)));
    assert!(!world.rest().iter().any(|frame| frame.has("forbidden")));
    assert_eq!(sh("nft list table inet banger | grep -c masquerade || true"), "0");
}
