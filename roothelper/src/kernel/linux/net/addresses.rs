//! Addresses, routes and neighbours of IPv4.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::link::Link;
use crate::Pool;
use crate::kernel::linux::netlink::{Attributes, Message, Netlink, NetlinkError, half, word};
use crate::kernel::network::{BRIDGE, Guest, Route};

const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const NEWNEIGH: u16 = 28;
const DELNEIGH: u16 = 29;
const GETNEIGH: u16 = 30;
const GETNETCONF: u16 = 82;
/// `NLM_F_REPLACE`, `NLM_F_CREATE`.
const PUT: u16 = 0x100 | 0x400;
const INET: u8 = libc::AF_INET as u8;
/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;
/// `RTM_F_CLONED`: no route, but what became of one.
const CLONED: u32 = 0x200;

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let four: [u8; 4] = bytes.try_into().ok()?;
    Some(four.into())
}

/// The host's routes, but those through our bridge. A route with several ways counts as its first.
pub(super) fn routes(netlink: &mut Netlink, links: &[Link]) -> Result<Vec<Route>, NetlinkError> {
    let read = |body: &[u8]| {
        let all = Attributes::after(body, 12);
        if *body.first()? != INET || word(body, 8)? & CLONED != 0 {
            return None;
        }
        // RTA_DST; the route to everywhere has none. RTA_OIF.
        let network = all.find(1).map_or(Some(Ipv4Addr::UNSPECIFIED), address)?;
        let through = links.iter().find(|link| Some(link.index) == all.u32(4));
        let through = through.map(|link| link.name.clone());
        (through.as_deref() != Some(BRIDGE)).then_some(Route {
            network,
            prefix: *body.get(1)?,
            through,
        })
    };
    netlink.list(&Message::new(GETROUTE, 0, &[INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), read)
}

/// Whether packets are forwarded.
pub(super) fn forwarding(netlink: &mut Netlink) -> Result<bool, NetlinkError> {
    let mut message = Message::new(GETNETCONF, 0, &[INET, 0, 0, 0]);
    // NETCONFA_IFINDEX, _ALL; NETCONFA_FORWARDING.
    message.put_u32(1, u32::MAX);
    let found = netlink.get(&message, |body| Attributes::after(body, 1).u32(2))?;
    Ok(found.is_some_and(|value| value != 0))
}

/// A message about an address of an interface.
fn of_interface(kind: u16, flags: u16, index: u32, prefix: u8, address: Ipv4Addr) -> Message {
    let [a, b, c, d] = index.to_ne_bytes();
    let mut message = Message::new(kind, flags, &[INET, prefix, 0, 0, a, b, c, d]);
    // IFA_LOCAL, IFA_ADDRESS.
    message.put(2, &address.octets());
    message.put(1, &address.octets());
    message
}

/// Gives the bridge the pool's first address and no other.
pub(super) fn set(netlink: &mut Netlink, index: u32, pool: Pool) -> Result<(), NetlinkError> {
    let read = |body: &[u8]| {
        let local = address(Attributes::after(body, 8).find(2)?)?;
        (*body.first()? == INET && word(body, 4)? == index).then_some((*body.get(1)?, local))
    };
    let there = netlink.list(&Message::new(GETADDR, 0, &[INET, 0, 0, 0, 0, 0, 0, 0]), read)?;
    let wanted = (pool.prefix(), pool.gateway());
    for (prefix, other) in there.iter().copied().filter(|found| *found != wanted) {
        netlink.order(&of_interface(DELADDR, 0, index, prefix, other))?;
    }
    if there.contains(&wanted) {
        return Ok(());
    }
    let mut message = of_interface(NEWADDR, PUT, index, wanted.0, wanted.1);
    // IFA_BROADCAST.
    message.put(4, &(wanted.1 | !pool.mask()).octets());
    netlink.order(&message)
}

/// A message about a neighbour of an interface.
fn of_neighbour(kind: u16, flags: u16, index: u32, guest: Ipv4Addr) -> Message {
    let [a, b, c, d] = index.to_ne_bytes();
    let [low, high] = PERMANENT.to_ne_bytes();
    let mut message = Message::new(kind, flags, &[INET, 0, 0, 0, a, b, c, d, low, high, 0, 0]);
    // NDA_DST.
    message.put(1, &guest.octets());
    message
}

/// Tells the bridge who its guests are: it asks nobody, and believes nobody who says otherwise.
pub(super) fn set_neighbours(
    netlink: &mut Netlink,
    index: u32,
    guests: &[Guest],
) -> Result<(), NetlinkError> {
    let read = |body: &[u8]| {
        let all = Attributes::after(body, 12);
        let ours = *body.first()? == INET && word(body, 4)? == index;
        let permanent = half(body, 8)? & PERMANENT != 0;
        // NDA_DST, NDA_LLADDR.
        let hardware: Option<[u8; 6]> = all.find(2).and_then(|bytes| bytes.try_into().ok());
        (ours && permanent).then_some((address(all.find(1)?)?, hardware))
    };
    let there =
        netlink.list(&Message::new(GETNEIGH, 0, &[INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), read)?;
    let there: BTreeMap<_, _> = there.into_iter().collect();
    let wanted: BTreeMap<_, _> =
        guests.iter().map(|guest| (guest.address, guest.hardware())).collect();
    for (guest, hardware) in &wanted {
        if there.get(guest) != Some(&Some(*hardware)) {
            let mut message = of_neighbour(NEWNEIGH, PUT, index, *guest);
            message.put(2, hardware);
            netlink.order(&message)?;
        }
    }
    for guest in there.keys().filter(|guest| !wanted.contains_key(guest)) {
        match netlink.order(&of_neighbour(DELNEIGH, 0, index, *guest)) {
            Err(error) if error.is(libc::ENOENT) => {}
            removed => removed?,
        }
    }
    Ok(())
}
