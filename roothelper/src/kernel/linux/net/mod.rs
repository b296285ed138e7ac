//! The network of VMs, by netlink.
//!
//! ```text
//!   guest - VMM = tap, a port of banger0: isolated, learns nothing, floods nothing
//!                  |  who sends, and to whom it is sent: table bridge banger (mac, address, ARP)
//!               banger0 -- host: table inet banger
//! ```

mod addresses;
mod link;
mod port;
mod tun;

use std::io;

use super::netlink::{Netlink, NetlinkError, Protocol};
use super::{Linux, nft};
use crate::kernel::network::{
    BRIDGE, Bridge, Foreign, Guest, Network, NetworkError, Rules, Tap, Wiring, hardware,
};
use crate::{OwnerUid, Pool};

/// The groups that our interfaces are in from the moment they are there: only root can put one into a group.
const BRIDGE_GROUP: u32 = 0x6267_7230;
pub(super) const TAP_GROUP: u32 = 0x6267_7231;

/// Says what was tried.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, NetworkError>;
}

impl<T> Doing<T> for Result<T, NetlinkError> {
    fn doing(self, doing: &'static str) -> Result<T, NetworkError> {
        self.map_err(|error| {
            let (words, source) = error.into_parts();
            let said = if words.is_empty() { words } else { format!(": {words}") };
            NetworkError { doing, said, source }
        })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError { doing, said: String::new(), source })
    }
}

fn route() -> Result<Netlink, NetworkError> {
    Netlink::open(Protocol::Route).doing("ask the kernel about its network")
}

/// Our bridge; an error where there is none.
fn bridge(links: &[link::Link]) -> Result<&link::Link, NetworkError> {
    let ours = links.iter().find(|link| link.name == BRIDGE && link.is_bridge_of_ours());
    ours.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).doing("find the bridge banger0")
}

/// Makes a tap a port of the bridge, and brings it up.
fn plug_in(
    netlink: &mut Netlink,
    links: &[link::Link],
    tap: u32,
    guest: Guest,
) -> Result<(), NetworkError> {
    port::join(netlink, tap, bridge(links)?.index, guest.hardware())
        .doing("make the tap a port of the bridge")?;
    link::up(netlink, tap, libc::IFF_NOARP as u32).doing("bring the tap up")
}

/// Why there is no tap, where it is that its name is taken.
fn taken(error: io::Error, name: &str) -> io::Error {
    if error.raw_os_error() != Some(libc::EBUSY) {
        return error;
    }
    io::Error::other(Foreign {
        what: format!("this host has an interface {name} that is no tap of the root helper's"),
        commands: format!(
            "ip -details link show {name}; if nobody needs it: sudo ip link delete {name}"
        ),
    })
}

impl Network for Linux {
    fn wiring(&self) -> Result<Wiring, NetworkError> {
        let mut netlink = route()?;
        let links = link::list(&mut netlink).doing("list the host's interfaces")?;
        let bridge = match links.iter().find(|link| link.name == BRIDGE) {
            None => Bridge::Missing,
            Some(link) if link.is_bridge_of_ours() => Bridge::Ours,
            Some(_) => Bridge::Foreign,
        };
        let mut taps: Vec<_> = links.iter().filter_map(link::Link::tap).collect();
        taps.sort_unstable_by_key(|tap| tap.guest.address);
        Ok(Wiring {
            bridge,
            taps,
            routes: addresses::routes(&mut netlink, &links).doing("list the host's routes")?,
            forwarding: addresses::forwarding(&mut netlink)
                .doing("see whether packets are forwarded")?,
        })
    }

    fn taps_of(&self, uid: OwnerUid) -> Result<Vec<Tap>, NetworkError> {
        let links = link::list(&mut route()?).doing("list the host's interfaces")?;
        let taps = links.iter().filter_map(link::Link::tap);
        Ok(taps.filter(|tap| tap.guest.ownership.uid == uid).collect())
    }

    fn make_bridge(&self, pool: Pool) -> Result<(), NetworkError> {
        let mut netlink = route()?;
        let list = |netlink: &mut Netlink| link::list(netlink).doing("list the host's interfaces");
        let mut links = list(&mut netlink)?;
        if !links.iter().any(|link| link.name == BRIDGE) {
            link::make_bridge(&mut netlink, hardware(pool.gateway()))
                .doing("make the bridge banger0")?;
            links = list(&mut netlink)?;
        }
        let bridge = bridge(&links)?;
        link::set_bridge(&mut netlink, bridge, hardware(pool.gateway()))
            .doing("set up the bridge banger0")?;
        addresses::set(&mut netlink, bridge.index, pool).doing("give the bridge its address")
    }

    fn set_rules(&self, rules: &Rules) -> Result<(), NetworkError> {
        let mut netfilter = Netlink::open(Protocol::Netfilter).doing("ask for the host's rules")?;
        nft::set(&mut netfilter, rules).doing("set the rules of the bridge")?;
        let mut netlink = route()?;
        let links = link::list(&mut netlink).doing("list the host's interfaces")?;
        addresses::set_neighbours(&mut netlink, bridge(&links)?.index, &rules.guests)
            .doing("tell the bridge its guests")
    }

    fn make_tap(&self, guest: Guest) -> Result<u32, NetworkError> {
        let mut netlink = route()?;
        let name = crate::Names::of(guest.ownership).tap;
        // Until it is kept, it goes with this descriptor, whatever ends us; and nobody else can open it before.
        let tap = tun::Tap::make(&name, guest.ownership.uid)
            .map_err(|error| taken(error, &name))
            .doing("make the tap")?;
        let links = link::list(&mut netlink).doing("list the host's interfaces")?;
        let made = links.iter().find(|link| link.name == name);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let index = made.map(|link| link.index).ok_or_else(missing).doing("find the tap")?;
        link::name_tap(&mut netlink, index, guest).doing("give the tap its names")?;
        plug_in(&mut netlink, &links, index, guest)?;
        tap.keep().doing("keep the tap")?;
        Ok(index)
    }

    fn mend_tap(&self, tap: Tap) -> Result<(), NetworkError> {
        let mut netlink = route()?;
        let links = link::list(&mut netlink).doing("list the host's interfaces")?;
        plug_in(&mut netlink, &links, tap.index, tap.guest)
    }

    fn remove_tap(&self, tap: Tap) -> Result<(), NetworkError> {
        link::remove(&mut route()?, tap.index).doing("remove the tap")
    }

    fn remove_idle_tap(&self, tap: Tap) -> Result<bool, NetworkError> {
        // One process has a tap at a time: while we have it nobody else does.
        let name = crate::Names::of(tap.guest.ownership).tap;
        let _held = match tun::Tap::take(&name) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(false),
            taken => taken.doing("take the tap")?,
        };
        self.remove_tap(tap).map(|()| true)
    }

    fn remove_network(&self) -> Result<(), NetworkError> {
        let mut netlink = route()?;
        let links = link::list(&mut netlink).doing("list the host's interfaces")?;
        if let Ok(bridge) = bridge(&links) {
            link::remove(&mut netlink, bridge.index).doing("remove the bridge banger0")?;
        }
        let mut netfilter = Netlink::open(Protocol::Netfilter).doing("ask for the host's rules")?;
        nft::remove(&mut netfilter).doing("remove the rules of the bridge")
    }
}
