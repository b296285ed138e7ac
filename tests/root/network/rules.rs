//! The tables: ours alone, as a whole, and set right whatever was done to them.

use std::collections::BTreeSet;

use banger_roothelper::Pool;
use banger_roothelper::kernel::Network;
use banger_roothelper::kernel::network::Rules;

use super::frame::good_ping;
use super::place::{ANN, BEN, Card, bridge, guest, name, rules, sh};

fn listing() -> String {
    sh("nft --numeric list ruleset | sed 's/packets [0-9]* bytes [0-9]*/packets 0 bytes 0/'")
}

#[test]
fn nft_reads_them_as_they_are_meant() {
    alone!();
    let own = guest(ANN, 10);
    bridge(true, &[own]);
    let said = listing();
    let element = format!("\"{}\" . 02:62:ac:10:00:0a . 172.16.0.10", name(own));
    let lines: BTreeSet<_> = said.lines().map(str::trim).collect();
    let has = |line: &str| assert!(lines.iter().any(|said| said.contains(line)), "{line}\n{said}");
    has("comment \"banger's VMs: 172.16.0.0/24, nat, ");
    has("type ifname . ether_addr . ipv4_addr");
    has(&element);
    has("type filter hook prerouting priority -400; policy accept;");
    has(
        "iifname . ether saddr . ip saddr @guests accept comment \"IPv4 of the guest's addresses\"",
    );
    has(
        "oifname . ether daddr . ip daddr @guests accept comment \"IPv4 to the guest's addresses\"",
    );
    has("elements = { 172.16.0.10 : 0x001d9a21 }");
    has("elements = { 172.16.0.10 . 0x001d9a21 }");
    has("meta mark set ip saddr map @owners ip daddr . meta mark @owned meta mark set");
    has("iifname != \"banger0\" accept comment \"not from the bridge\"");
    has("icmp type 8 ip daddr 172.16.0.1 accept");
    has("ip daddr 169.254.0.0/16 counter packets 0 bytes 0 drop");
    has("ct status 0x20");
    has("ip saddr 172.16.0.0/24 oifname != \"banger0\" masquerade");
}

#[test]
fn whatever_an_administrator_did_to_them_they_are_set_right_and_others_are_not_touched() {
    alone!();
    let (own, other) = (guest(ANN, 10), guest(BEN, 11));
    let linux = bridge(false, &[own, other]);
    let wanted = rules(false, &[own, other]);
    let whole = listing();
    let set_right = |what: &str| {
        sh(what);
        assert_ne!(listing(), whole, "{what}");
        linux.set_rules(&wanted).unwrap();
        assert_eq!(listing(), whole, "{what}");
    };
    set_right("nft flush ruleset");
    set_right("nft flush table inet banger");
    set_right("nft delete table bridge banger");
    set_right("nft flush chain bridge banger from_guests");
    set_right("nft flush set bridge banger guests");
    set_right("nft flush map inet banger owners");
    set_right("nft add element inet banger owned '{ 172.16.0.11 . 1940001 }'");
    set_right(
        "nft delete element inet banger owners '{ 172.16.0.11 }'; \
         nft add element inet banger owners '{ 172.16.0.11 : 1940001 }'",
    );
    set_right("nft add rule inet banger input accept comment mine");
    set_right("nft insert rule inet banger input accept");
    set_right(
        "nft delete rule inet banger input handle $(nft -a list chain inet banger input | sed -n 's/.*established.*handle //p')",
    );
    set_right("nft add table inet banger '{ flags dormant; }'");
    set_right("nft add element bridge banger guests '{ \"bgrx\" . 02:00:00:00:00:01 . 10.0.0.1 }'");

    // Whoever is there goes on, and nobody else's tables change.
    sh(
        "nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; }'; \
        nft add rule inet filter input tcp dport 22 accept; nft add table ip banger",
    );
    let theirs = sh("nft list table inet filter; nft list table ip banger");
    let mut card = Card::of(own);
    sh("nft delete table inet banger");
    linux.set_rules(&wanted).unwrap();
    card.send(&good_ping(own, 1));
    card.expect("an answer", |frame| frame.answers(1));
    assert_eq!(sh("nft list table inet filter; nft list table ip banger"), theirs);
    card.close();
    for tap in linux.wiring().unwrap().taps {
        linux.remove_tap(tap).unwrap();
    }
    linux.remove_network().unwrap();
    linux.remove_network().unwrap();
    assert_eq!(sh("nft list tables"), "table inet filter\ntable ip banger");
    assert_eq!(sh("ip -oneline link | grep -c 'banger0\\|bgr' || true"), "0");
}

#[test]
fn what_is_there_is_only_changed_by_elements() {
    alone!();
    let guests: Vec<_> = (10..20).map(|last| guest(ANN, last)).collect();
    let linux = bridge(false, &guests[..5]);
    let handles = || sh("nft -a list ruleset | grep handle | grep -v elements");
    let made = handles();
    for some in [&guests[..], &guests[2..4], &[], &guests[5..]] {
        linux.set_rules(&rules(false, some)).unwrap();
        assert_eq!(handles(), made, "nothing was made anew");
        let there = sh("nft list set bridge banger guests | grep -o '172.16.0.[0-9]*' || true");
        let wanted: BTreeSet<_> = some.iter().map(|guest| guest.address.to_string()).collect();
        assert_eq!(there.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
        for (kind, set) in [("map", "owners"), ("set", "owned")] {
            let line = format!(
                "nft list {kind} inet banger {set} | grep -o '172.16.0.[0-9]* [:.] 0x001d9a21' | cut -d ' ' -f 1 || true"
            );
            let there = sh(&line);
            assert_eq!(there.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted, "{set}");
        }
        let neighbours = sh("ip neigh show dev banger0 nud permanent | cut -d ' ' -f 1 | sort");
        assert_eq!(neighbours.lines().map(str::to_owned).collect::<BTreeSet<_>>(), wanted);
    }
    // More than one message holds.
    let pool: Pool = "10.0.0.0/16".parse().unwrap();
    let many = (0..4096).map(|at| {
        let mut one = guest(ANN, 1);
        one.address = pool.guest(at);
        one
    });
    linux.set_rules(&Rules { pool, nat: true, guests: many.collect() }).unwrap();
    assert_eq!(
        sh("nft list set bridge banger guests | grep -o '\"bgr[^,}]* 10.0.[0-9.]*' | wc -l"),
        "4096"
    );
}

#[test]
fn a_table_or_a_bridge_of_somebody_elses_is_left_alone() {
    alone!();
    let own = guest(ANN, 10);
    let linux = bridge(false, &[]);
    linux.remove_network().unwrap();
    sh(
        "nft add table inet banger; nft add chain inet banger mine; ip link add banger0 type bridge",
    );
    let theirs = sh("nft list ruleset; ip -details link show banger0");
    assert!(linux.make_bridge(Pool::DEFAULT).is_err());
    assert!(linux.set_rules(&rules(false, &[own])).is_err());
    assert!(linux.make_tap(own).is_err());
    linux.remove_network().unwrap();
    assert_eq!(sh("nft list ruleset; ip -details link show banger0"), theirs);
    assert!(linux.wiring().unwrap().taps.is_empty());
    let error = linux.set_rules(&rules(false, &[own])).unwrap_err();
    let chain = format!("{error}: {}", error.source);
    assert!(chain.contains("a table `banger` that is not banger's"), "{chain}");
}
