//! The rules, as data.
//!
//! | table | place | what passes |
//! | --- | --- | --- |
//! | `bridge banger` | from a tap | IPv4 and ARP of the guest's own two addresses, nothing else, nothing tagged |
//! | `bridge banger` | to a tap | IPv4 and ARP to the guest's own two addresses |
//! | `inet banger` | prerouting | nothing that a tap gives the host past the bridge; of the bridge, IPv4 |
//! | `inet banger` | input | of the bridge: answers, and a ping of the bridge's address |
//! | `inet banger` | forward | guests of one owner to each other; with `nat` guests to others and their answers |
//! | `inet banger` | postrouting | with `nat`: masqueraded |

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use super::expression::{Base, Connection, Expression, FIRST, Meta};
use super::table::{Chain, GUESTS, OWNED, OWNERS, Rule, Table};
use crate::kernel::linux::net::TAP_GROUP;
use crate::kernel::network::{self, Rules};

/// `NFPROTO_*`.
pub(super) const INET: u8 = 1;
pub(super) const BRIDGE: u8 = 7;
/// What the marks of all our tables begin with.
const MARK: &str = "banger's VMs: ";

/// `NF_INET_*`, which bridges number alike.
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const POSTROUTING: u32 = 4;

/// Types of Ethernet.
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
/// `NFPROTO_IPV4`, for `meta nfproto`.
const FAMILY_IPV4: u8 = 2;

/// Whether a table with this mark is ours.
pub(super) fn is_mark(mark: &str) -> bool {
    mark.starts_with(MARK)
}

/// Both tables. The mark has a hash of the rules in it: others, and those of another version, are made anew.
pub(super) fn ruleset(rules: &Rules) -> [Table; 2] {
    let tables = [(BRIDGE, vec![from_guests(), to_guests()]), (INET, host(rules))];
    tables.map(|(family, chains)| {
        let mut table = Table { family, mark: String::new(), chains };
        let mut batch = Vec::new();
        table.make(&mut batch);
        let hash = batch.iter().fold(Sha256::new(), |hash, message| {
            // What cannot be sealed is not sent either.
            hash.chain_update(message.sealed(0).unwrap_or_default())
        });
        let hash = hash.finalize();
        let short = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
        let nat = if rules.nat { "nat" } else { "no nat" };
        table.mark = format!("{MARK}{}, {nat}, {short}", rules.pool);
        table
    })
}

fn rule(comment: &'static str, parts: Vec<Vec<Expression>>) -> Rule {
    Rule { comment, expressions: parts.into_iter().flatten().collect() }
}

fn meta(what: Meta, value: &[u8]) -> Vec<Expression> {
    vec![Expression::Load(what, FIRST), Expression::Equal(FIRST, value.to_owned())]
}

fn not_meta(what: Meta, value: &[u8]) -> Vec<Expression> {
    vec![Expression::Load(what, FIRST), Expression::Differs(FIRST, value.to_owned())]
}

fn bytes(base: Base, at: u32, value: &[u8]) -> Vec<Expression> {
    let length = value.len() as u32;
    let load = Expression::Bytes { base, at, length, to: FIRST };
    vec![load, Expression::Equal(FIRST, value.to_owned())]
}

/// The bridge's name in a register's form.
fn bridge() -> [u8; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(network::BRIDGE.bytes()) {
        *to = from;
    }
    name
}

fn accept() -> Vec<Expression> {
    vec![Expression::Accept]
}

fn deny() -> Vec<Expression> {
    vec![Expression::Count, Expression::Drop]
}

/// The tap and these two addresses of the packet are those of a guest. Where bytes are missing, they are not.
fn of_guest(tap: Meta, hardware: (Base, u32), address: u32) -> Vec<Expression> {
    let (base, at) = hardware;
    vec![
        Expression::Load(tap, FIRST),
        Expression::Bytes { base, at, length: 6, to: FIRST + 4 },
        Expression::Bytes { base: Base::Network, at: address, length: 4, to: FIRST + 6 },
        Expression::In { set: GUESTS.name, register: FIRST },
    ]
}

/// ARP of Ethernet and IPv4, which says where its addresses are.
fn plain_arp() -> Vec<Vec<Expression>> {
    vec![
        bytes(Base::Link, 12, &ARP),
        bytes(Base::Network, 0, &[0, 1]),
        bytes(Base::Network, 2, &IPV4),
        bytes(Base::Network, 4, &[6]),
        bytes(Base::Network, 5, &[4]),
    ]
}

/// The type is read where an untagged frame has it: of one with a tag it is the tag's.
fn from_guests() -> Chain {
    let mut arp = plain_arp();
    arp.push(of_guest(Meta::InName, (Base::Link, 6), 14));
    arp.push(of_guest(Meta::InName, (Base::Network, 8), 14));
    arp.push(accept());
    Chain {
        name: "from_guests",
        kind: "filter",
        hook: PREROUTING,
        // Ahead of everybody else's.
        priority: -400,
        rules: vec![
            rule(
                "not from a tap of banger's",
                vec![not_meta(Meta::InGroup, &TAP_GROUP.to_ne_bytes()), accept()],
            ),
            rule(
                "IPv4 of the guest's addresses",
                vec![
                    bytes(Base::Link, 12, &IPV4),
                    of_guest(Meta::InName, (Base::Link, 6), 12),
                    accept(),
                ],
            ),
            rule("ARP of the guest's addresses", arp),
            rule("nothing else", vec![deny()]),
        ],
    }
}

fn to_guests() -> Chain {
    let mut arp = plain_arp();
    arp.push(of_guest(Meta::OutName, (Base::Link, 0), 24));
    arp.push(accept());
    Chain {
        name: "to_guests",
        kind: "filter",
        hook: POSTROUTING,
        // Behind everybody else's.
        priority: 400,
        rules: vec![
            rule(
                "not to a tap of banger's",
                vec![not_meta(Meta::OutGroup, &TAP_GROUP.to_ne_bytes()), accept()],
            ),
            rule(
                "IPv4 to the guest's addresses",
                vec![
                    bytes(Base::Link, 12, &IPV4),
                    of_guest(Meta::OutName, (Base::Link, 0), 16),
                    accept(),
                ],
            ),
            rule("ARP to the guest's addresses", arp),
            rule("nothing else", vec![deny()]),
        ],
    }
}

/// `ct state established,related`.
fn answers() -> Vec<Expression> {
    flags(Connection::State, 2 | 4)
}

/// One of these flags is set.
fn flags(what: Connection, any: u32) -> Vec<Expression> {
    vec![
        Expression::Track(what, FIRST),
        Expression::And { register: FIRST, mask: any.to_ne_bytes() },
        Expression::Differs(FIRST, vec![0; 4]),
    ]
}

/// An address of IPv4 in the packet, as far as the mask goes.
fn address(at: u32, mask: Ipv4Addr, network: Ipv4Addr) -> Vec<Expression> {
    vec![
        Expression::Bytes { base: Base::Network, at, length: 4, to: FIRST },
        Expression::And { register: FIRST, mask: mask.octets() },
        Expression::Equal(FIRST, network.octets().to_vec()),
    ]
}

/// The one who sends and the one it is for, by addresses that the bridge has looked at, are of one owner. Between the two
/// the owner is the packet's mark, since rules that people can read have no other place for it.
fn of_one_owner() -> Vec<Expression> {
    let address = |at| Expression::Bytes { base: Base::Network, at, length: 4, to: FIRST };
    vec![
        address(12),
        Expression::Find { map: OWNERS.name, register: FIRST },
        Expression::Store(Meta::Mark, FIRST),
        address(16),
        Expression::Load(Meta::Mark, FIRST + 1),
        Expression::In { set: OWNED.name, register: FIRST },
        Expression::Load(Meta::Mark, FIRST),
        Expression::And { register: FIRST, mask: [0; 4] },
        Expression::Store(Meta::Mark, FIRST),
    ]
}

fn host(rules: &Rules) -> Vec<Chain> {
    let bridge = bridge();
    let ipv4 = || meta(Meta::Family, &[FAMILY_IPV4]);
    let chain = |name, hook, rules| Chain { name, kind: "filter", hook, priority: 0, rules };
    let mut prerouting = chain(
        "prerouting",
        PREROUTING,
        vec![
            // A bridge gives the host itself some frames as if they came from the port: to 01:80:c2:00:00:0e.
            rule(
                "a tap leads to the bridge and nowhere else",
                vec![meta(Meta::InGroup, &TAP_GROUP.to_ne_bytes()), deny()],
            ),
            rule(
                "guests speak IPv4",
                vec![meta(Meta::InName, &bridge), not_meta(Meta::Family, &[FAMILY_IPV4]), deny()],
            ),
        ],
    );
    // Before connections are looked at.
    prerouting.priority = -400;
    let ping = vec![
        ipv4(),
        meta(Meta::Protocol, &[libc::IPPROTO_ICMP as u8]),
        bytes(Base::Transport, 0, &[8]),
        bytes(Base::Network, 16, &rules.pool.gateway().octets()),
        accept(),
    ];
    let input = chain(
        "input",
        INPUT,
        vec![
            rule("not from the bridge", vec![not_meta(Meta::InName, &bridge), accept()]),
            rule("answers to the host", vec![answers(), accept()]),
            rule("the bridge can be pinged", ping),
            rule("no service of the host's", vec![deny()]),
        ],
    );
    let mut forward = vec![rule(
        "not of the bridge",
        vec![not_meta(Meta::InName, &bridge), not_meta(Meta::OutName, &bridge), accept()],
    )];
    // Ports are isolated: it goes by the host, which answers for every address of the bridge's when it is asked.
    let among = [meta(Meta::InName, &bridge), meta(Meta::OutName, &bridge), ipv4()];
    let among = among.into_iter().chain([of_one_owner(), accept()]).collect();
    forward.push(rule("guests of one owner reach each other", among));
    if rules.nat {
        forward.extend(to_others(&bridge));
    } else {
        forward.push(rule("no nat in /etc/banger/roothelper.toml", vec![deny()]));
    }
    let mut chains = vec![prerouting, input, chain("forward", FORWARD, forward)];
    if rules.nat {
        let masquerade = vec![
            ipv4(),
            address(12, rules.pool.mask(), rules.pool.gateway() & rules.pool.mask()),
            not_meta(Meta::OutName, &bridge),
            vec![Expression::Masquerade],
        ];
        chains.push(Chain {
            name: "postrouting",
            kind: "nat",
            hook: POSTROUTING,
            // Where sources are changed.
            priority: 100,
            rules: vec![rule("guests go out with the host's address", masquerade)],
        });
    }
    chains
}

/// What is forwarded when guests may reach what is beyond this computer.
fn to_others(bridge: &[u8]) -> Vec<Rule> {
    let (mask, local) = (Ipv4Addr::new(255, 255, 0, 0), Ipv4Addr::new(169, 254, 0, 0));
    let metadata = vec![meta(Meta::Family, &[FAMILY_IPV4]), address(16, mask, local), deny()];
    vec![
        rule("no others do", vec![meta(Meta::InName, bridge), meta(Meta::OutName, bridge), deny()]),
        rule("answers to guests", vec![meta(Meta::OutName, bridge), answers(), accept()]),
        rule("nobody else reaches guests", vec![meta(Meta::OutName, bridge), deny()]),
        rule("no metadata service", metadata),
        // A port that is published on the host, by a container's program for one, is a service of the host's.
        rule("nothing that the host redirects", vec![flags(Connection::Status, 1 << 5), deny()]),
    ]
}
