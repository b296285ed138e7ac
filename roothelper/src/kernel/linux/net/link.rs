//! Interfaces: the bridge, and what is said of a tap.

use crate::Names;
use crate::kernel::linux::netlink::{Attributes, Message, Netlink, NetlinkError, word};
use crate::kernel::network::{BRIDGE, Guest, MTU, Tap};

use super::{BRIDGE_GROUP, TAP_GROUP};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWLINKPROP: u16 = 108;
/// `NLM_F_EXCL`, `NLM_F_CREATE`.
const NEW: u16 = 0x200 | 0x400;
/// `IFLA_*`.
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINKINFO: u16 = 18;
const ALIAS: u16 = 20;
const AF_SPEC: u16 = 26;
const GROUP: u16 = 27;
const EXT_MASK: u16 = 29;
const CARRIER: u16 = 33;
const PROP_LIST: u16 = 52;
const ALT_NAME: u16 = 53;
/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA`.
pub(super) const KIND: u16 = 1;
pub(super) const DATA: u16 = 2;
/// `RTEXT_FILTER_SKIP_STATS`.
const NO_STATISTICS: u32 = 8;
/// Bytes of `struct ifinfomsg`.
const HEADER: usize = 16;

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    kind: String,
    alias: String,
    group: u32,
    hardware: Vec<u8>,
    up: bool,
    carrier: bool,
}

impl Link {
    fn read(body: &[u8]) -> Option<Self> {
        let all = Attributes::after(body, HEADER);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(Self {
            index: word(body, 4)?,
            name: text(Some(all.text(NAME)?)),
            kind: text(all.inside(LINKINFO).text(KIND)),
            alias: text(all.text(ALIAS)),
            group: all.u32(GROUP).unwrap_or(0),
            hardware: all.find(ADDRESS).unwrap_or_default().to_owned(),
            up: word(body, 8)? & libc::IFF_UP as u32 != 0,
            carrier: all.u8(CARRIER) == Some(1),
        })
    }

    /// Whether it is a bridge that we made: it was born in our group, which nobody else's is.
    pub(super) fn is_bridge_of_ours(&self) -> bool {
        self.kind == "bridge" && self.group == BRIDGE_GROUP
    }

    /// The tap that it is, when it is one of ours.
    pub(super) fn tap(&self) -> Option<Tap> {
        let guest = Guest::of_tap(&self.name, &self.alias)?;
        // A tap has a carrier while somebody has it open.
        (self.kind == "tun" && self.group == TAP_GROUP).then_some(Tap {
            guest,
            index: self.index,
            open: self.carrier,
        })
    }
}

/// A message about the interface of this index; of no interface yet, when it is 0.
pub(super) fn about(kind: u16, flags: u16, index: u32, up: u32, change: u32) -> Message {
    let mut fixed = [0; HEADER];
    for (at, value) in [(4, index), (8, up), (12, change)] {
        for (to, from) in fixed.iter_mut().skip(at).zip(value.to_ne_bytes()) {
            *to = from;
        }
    }
    Message::new(kind, flags, &fixed)
}

/// A change of the interface of this index.
pub(super) fn change(index: u32) -> Message {
    about(SETLINK, 0, index, 0, 0)
}

/// The same, where only the other message reaches what is to be changed.
pub(super) fn change_as_new(index: u32) -> Message {
    about(NEWLINK, 0, index, 0, 0)
}

pub(super) fn list(netlink: &mut Netlink) -> Result<Vec<Link>, NetlinkError> {
    let mut message = about(GETLINK, 0, 0, 0, 0);
    message.put_u32(EXT_MASK, NO_STATISTICS);
    netlink.list(&message, Link::read)
}

/// What a bridge is like: no protocol of its own, nothing learnt of groups, nothing let through that is for the bridge alone.
const BRIDGE_SETTINGS: [(u16, &[u8]); 3] = [
    // IFLA_BR_STP_STATE, _GROUP_FWD_MASK, _MCAST_SNOOPING.
    (5, &0u32.to_ne_bytes()),
    (9, &0u16.to_ne_bytes()),
    (23, &[0]),
];

fn put_bridge(message: &mut Message) {
    message.nest(LINKINFO, |info| {
        info.put(KIND, b"bridge");
        info.nest(DATA, |data| {
            for (kind, value) in BRIDGE_SETTINGS {
                data.put(kind, value);
            }
        });
    });
}

/// Makes the bridge, which is ours from then on.
pub(super) fn make_bridge(netlink: &mut Netlink, hardware: [u8; 6]) -> Result<(), NetlinkError> {
    let mut message = about(NEWLINK, NEW, 0, 0, 0);
    message.put_text(NAME, BRIDGE);
    message.put_u32(GROUP, BRIDGE_GROUP);
    message.put_u32(LINK_MTU, MTU);
    // One that was given does not change with the ports.
    message.put(ADDRESS, &hardware);
    put_bridge(&mut message);
    netlink.order(&message)
}

/// `IPV4_DEVCONF_*`, as numbers of `IFLA_INET_CONF`: accept_redirects, secure_redirects, send_redirects, rp_filter,
/// accept_source_route, arp_ignore, drop_unicast_in_l2_multicast. What a sysctl would be written for. Of the bridge also
/// forwarding, of what comes from it, and proxy_arp_pvlan, by which the host is the way from guest to guest: the rules say
/// for whom.
const BRIDGE_IPV4: [(u16, u32); 9] =
    [(1, 1), (4, 0), (5, 0), (6, 0), (8, 1), (9, 0), (19, 1), (25, 1), (30, 1)];
/// A tap has no address: whatever is for one of the host's is not for it (arp_ignore 8).
const TAP_IPV4: [(u16, u32); 7] = [(4, 0), (5, 0), (6, 0), (8, 1), (9, 0), (19, 8), (30, 1)];

/// How an interface deals with IPv4.
fn put_ipv4(message: &mut Message, settings: &[(u16, u32)]) {
    message.nest(AF_SPEC, |families| {
        families.nest(libc::AF_INET as u16, |family| {
            // IFLA_INET_CONF.
            family.nest(1, |all| {
                for (what, value) in settings {
                    all.put_u32(*what, *value);
                }
            });
        });
    });
}

/// No address of IPv6 comes by itself.
fn without_ipv6(netlink: &mut Netlink, index: u32) -> Result<(), NetlinkError> {
    let mut message = change(index);
    message.nest(AF_SPEC, |families| {
        families.nest(libc::AF_INET6 as u16, |family| {
            // IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE.
            family.put(8, &[1]);
        });
    });
    match netlink.order(&message) {
        // This kernel has no IPv6, or this interface none.
        Err(error) if error.is(libc::EAFNOSUPPORT) || error.is(libc::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Sets our bridge right, whatever was done to it.
pub(super) fn set_bridge(
    netlink: &mut Netlink,
    bridge: &Link,
    hardware: [u8; 6],
) -> Result<(), NetlinkError> {
    let mut message = change(bridge.index);
    if bridge.hardware != hardware {
        message.put(ADDRESS, &hardware);
    }
    message.put_text(ALIAS, "the bridge of banger's VMs");
    put_ipv4(&mut message, &BRIDGE_IPV4);
    netlink.order(&message)?;
    let mut message = change_as_new(bridge.index);
    put_bridge(&mut message);
    netlink.order(&message)?;
    if bridge.up {
        return Ok(());
    }
    // An address that there is comes with the interface.
    without_ipv6(netlink, bridge.index)?;
    up(netlink, bridge.index, 0)
}

/// Says whose a tap is, and how it deals with what comes in.
pub(super) fn name_tap(
    netlink: &mut Netlink,
    index: u32,
    guest: Guest,
) -> Result<(), NetlinkError> {
    let mut message = change(index);
    message.put_text(ALIAS, &guest.alias());
    message.put_u32(GROUP, TAP_GROUP);
    message.put_u32(LINK_MTU, MTU);
    put_ipv4(&mut message, &TAP_IPV4);
    netlink.order(&message)?;
    without_ipv6(netlink, index)?;
    let mut message = about(NEWLINKPROP, NEW, index, 0, 0);
    message.nest(PROP_LIST, |list| {
        list.put_text(ALT_NAME, &Names::of(guest.ownership).tap_altname);
    });
    netlink.order(&message)
}

/// Brings an interface up, with these flags beside.
pub(super) fn up(netlink: &mut Netlink, index: u32, flags: u32) -> Result<(), NetlinkError> {
    let flags = flags | libc::IFF_UP as u32;
    netlink.order(&about(SETLINK, 0, index, flags, flags))
}

/// Removes an interface; that it is not there is fine.
pub(super) fn remove(netlink: &mut Netlink, index: u32) -> Result<(), NetlinkError> {
    match netlink.order(&about(DELLINK, 0, index, 0, 0)) {
        Err(error) if error.is(libc::ENODEV) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linux::netlink::half;
    use crate::{OwnerUid, Ownership};
    use proptest::prelude::*;

    fn link(name: &str, kind: &str, alias: &str, group: u32) -> Option<Link> {
        let mut message = about(NEWLINK, 0, 7, libc::IFF_UP as u32, 0);
        message.put_text(NAME, name);
        message.put_text(ALIAS, alias);
        message.put_u32(GROUP, group);
        message.put(CARRIER, &[1]);
        message.nest(LINKINFO, |info| info.put_text(KIND, kind));
        Link::read(&message.sealed(1).unwrap()[16..])
    }

    #[test]
    fn only_what_we_made_is_ours() {
        assert!(link(BRIDGE, "bridge", "", BRIDGE_GROUP).unwrap().is_bridge_of_ours());
        assert!(!link(BRIDGE, "bridge", "", 0).unwrap().is_bridge_of_ours());
        assert!(!link(BRIDGE, "dummy", "", BRIDGE_GROUP).unwrap().is_bridge_of_ours());

        let vm = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        let ownership = Ownership { uid: OwnerUid::new(1000).unwrap(), vm };
        let guest = Guest { ownership, address: [172, 16, 0, 7].into() };
        let (name, alias) = (Names::of(ownership).tap, guest.alias());
        let tap = link(&name, "tun", &alias, TAP_GROUP).unwrap().tap();
        assert_eq!(tap, Some(Tap { guest, index: 7, open: true }));
        for (name, kind, alias, group) in [
            ("bgr000000000000", "tun", &*alias, TAP_GROUP),
            (&name, "veth", &alias, TAP_GROUP),
            (&name, "tun", &alias, 0),
            (&name, "tun", "", TAP_GROUP),
        ] {
            assert_eq!(
                link(name, kind, alias, group).unwrap().tap(),
                None,
                "{name} {kind} {alias}"
            );
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_interface_or_one_that_is_not_ours(bytes: Vec<u8>) {
            prop_assert!(Link::read(&bytes).and_then(|link| link.tap()).is_none());
        }
    }

    #[test]
    fn the_header_is_that_of_the_kernel() {
        let message = about(NEWLINK, 0, 3, 1, 1).sealed(1).unwrap();
        assert_eq!(message.len(), 32);
        assert_eq!(half(&message, 4), Some(NEWLINK));
        assert_eq!(
            (word(&message, 20), word(&message, 24), word(&message, 28)),
            (Some(3), Some(1), Some(1))
        );
    }
}
