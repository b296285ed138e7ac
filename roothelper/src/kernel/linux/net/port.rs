//! A tap as a port of the bridge.

use super::link::{DATA, KIND, change, change_as_new};
use crate::kernel::linux::netlink::{Message, Netlink, NetlinkError};

const NEWNEIGH: u16 = 28;
/// `NLM_F_REPLACE`, `NLM_F_CREATE`.
const PUT: u16 = 0x100 | 0x400;
/// `NDA_LLADDR`.
const HARDWARE: u16 = 2;
/// `NUD_PERMANENT`; of a bridge: as if it were the port's own address, which no other port can take.
const PERMANENT: u16 = 0x80;
/// `NTF_MASTER`: of the bridge that it is a port of.
const OF_MASTER: u8 = 4;
/// `IFLA_MASTER`, `IFLA_LINKINFO`.
const MASTER: u16 = 10;
const LINKINFO: u16 = 18;
/// `IFLA_INFO_SLAVE_KIND` and `IFLA_INFO_SLAVE_DATA` are three further than those of the bridge itself.
const OF_PORT: u16 = 3;

/// `IFLA_BRPORT_*`: what a port does. Frames of a guest go to the bridge and to no other port; what its address is, is said
/// and not learnt; nothing comes out but what is for it.
const SETTINGS: [(u16, u8); 11] = [
    (4, 0),  // MODE: nothing goes back where it came from
    (5, 1),  // GUARD: a bridge protocol spoken here closes the port
    (6, 1),  // PROTECT: nor is it a way to another bridge
    (7, 0),  // FAST_LEAVE
    (8, 0),  // LEARNING
    (9, 0),  // UNICAST_FLOOD
    (10, 0), // PROXYARP
    (27, 0), // MCAST_FLOOD
    (28, 0), // MCAST_TO_UCAST
    (30, 0), // BCAST_FLOOD: the host has no need to ask, see `set_neighbours`
    (33, 1), // ISOLATED
];

/// Makes an interface a port of the bridge, behind which there is this one card.
pub(super) fn join(
    netlink: &mut Netlink,
    tap: u32,
    bridge: u32,
    hardware: [u8; 6],
) -> Result<(), NetlinkError> {
    let mut message = change(tap);
    message.put_u32(MASTER, bridge);
    netlink.order(&message)?;
    let mut message = change_as_new(tap);
    message.nest(LINKINFO, |info| {
        info.put(KIND + OF_PORT, b"bridge");
        info.nest(DATA + OF_PORT, |data| {
            for (what, value) in SETTINGS {
                data.put(what, &[value]);
            }
        });
    });
    netlink.order(&message)?;
    // Whoever has a tap open may give the tap itself another address, also that of another's guest, and the bridge would
    // send there what is for that guest. It does not, where it was told before.
    let [a, b, c, d] = tap.to_ne_bytes();
    let [low, high] = PERMANENT.to_ne_bytes();
    let fixed = [libc::AF_BRIDGE as u8, 0, 0, 0, a, b, c, d, low, high, OF_MASTER, 0];
    let mut message = Message::new(NEWNEIGH, PUT, &fixed);
    message.put(HARDWARE, &hardware);
    netlink.order(&message)
}
