//! What the helper asks of Linux about the network of VMs: one bridge, a tap a VM, and the rules of both.
//!
//! Nothing is remembered: what a tap's alias says is whose it is and which address its guest has, and only root can
//! write that.

use std::fmt::Debug;
use std::io;
use std::net::Ipv4Addr;

use crate::{Names, OwnerUid, Ownership, Pool};

/// The bridge's name.
pub const BRIDGE: &str = "banger0";
/// Bytes of the largest packet on it.
pub const MTU: u32 = 1500;
/// What every address of hardware on the bridge begins with: of no maker's, and of one card.
const HARDWARE: [u8; 2] = [0x02, 0x62];

/// A guest on the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest {
    /// Whose VM it is in.
    pub ownership: Ownership,
    /// Its address.
    pub address: Ipv4Addr,
}

/// The hardware address that belongs to an address of the pool.
#[must_use]
pub fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let ([first, second], [a, b, c, d]) = (HARDWARE, address.octets());
    [first, second, a, b, c, d]
}

impl Guest {
    /// Its hardware address, which follows from its address.
    #[must_use]
    pub fn hardware(self) -> [u8; 6] {
        hardware(self.address)
    }

    /// The alias of its tap: `banger-u<uid>-<vm> <address>`.
    #[must_use]
    pub fn alias(self) -> String {
        format!("{} {}", Names::of(self.ownership).tap_altname, self.address)
    }

    /// Whose an interface is that has this name and alias; `None` when it is none of ours.
    #[must_use]
    pub fn of_tap(name: &str, alias: &str) -> Option<Self> {
        let (owner, address) = alias.split_once(' ')?;
        let ownership = Ownership::from_dm_name(owner)?;
        let guest = Self { ownership, address: address.parse().ok()? };
        // Only the spelling that we write is ours.
        (guest.alias() == alias && Names::of(ownership).tap == name).then_some(guest)
    }
}

/// A tap that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// For whom.
    pub guest: Guest,
    /// The interface's index.
    pub index: u32,
    /// A VMM has it open.
    pub open: bool,
}

/// The bridge, or what is in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bridge {
    /// There is no interface of its name.
    Missing,
    /// It is there.
    Ours,
    /// There is an interface of its name that we did not make.
    Foreign,
}

/// A network that the host knows a way to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The network's address.
    pub network: Ipv4Addr,
    /// Bits of its prefix.
    pub prefix: u8,
    /// The interface that leads there, where there is one.
    pub through: Option<String>,
}

/// What of the network is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// The bridge.
    pub bridge: Bridge,
    /// Every user's taps, by address.
    pub taps: Vec<Tap>,
    /// The host's routes, its own addresses among them, but those of the bridge.
    pub routes: Vec<Route>,
    /// Whether the host forwards packets (`net.ipv4.ip_forward`).
    pub forwarding: bool,
}

/// What the rules are to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The bridge's addresses.
    pub pool: Pool,
    /// Whether guests reach what is beyond this computer.
    pub nat: bool,
    /// Who may use the bridge.
    pub guests: Vec<Guest>,
}

/// Something of the network that could not be done.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}{said}")]
pub struct NetworkError {
    /// What was tried.
    pub doing: &'static str,
    /// `: ` and the kernel's words, where it has any.
    pub said: String,
    /// Its number.
    pub source: io::Error,
}

/// Something of somebody else's that has a name of ours: it is left alone.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Foreign {
    /// What is there.
    pub what: String,
    /// Who wants to know more, or to have it gone, types this.
    pub commands: String,
}

impl NetworkError {
    /// Whether something of somebody else's is in the way.
    #[must_use]
    pub fn foreign(&self) -> Option<&Foreign> {
        self.source.get_ref()?.downcast_ref()
    }
}

/// Linux's network, as far as the helper needs it. Whoever changes it holds the one lock that the server has for that.
pub trait Network: Send + Sync + Debug {
    /// What is there.
    ///
    /// # Errors
    /// When the kernel does not tell.
    fn wiring(&self) -> Result<Wiring, NetworkError>;

    /// Makes the bridge, or sets the one that is there right, with the pool's first address.
    ///
    /// # Errors
    /// What the kernel refuses. A bridge that was made stays.
    fn make_bridge(&self, pool: Pool) -> Result<(), NetworkError>;

    /// Makes the rules, and what the bridge knows of its guests, exactly so, whatever they were before: as a whole.
    ///
    /// # Errors
    /// What the kernel refuses.
    fn set_rules(&self, rules: &Rules) -> Result<(), NetworkError>;

    /// Makes a guest's tap as a port of the bridge, for its owner to open. It appears as a whole or not at all.
    ///
    /// # Errors
    /// What the kernel refuses; there is no tap then.
    fn make_tap(&self, guest: Guest) -> Result<u32, NetworkError>;

    /// Makes a tap that is there a port of the bridge again, as it was when it was made, whatever somebody did to either.
    ///
    /// # Errors
    /// What the kernel refuses.
    fn mend_tap(&self, tap: Tap) -> Result<(), NetworkError>;

    /// Removes a tap, open or not.
    ///
    /// # Errors
    /// What the kernel refuses; that it is not there is fine.
    fn remove_tap(&self, tap: Tap) -> Result<(), NetworkError>;

    /// Removes a tap that nobody has open: in one step, so that nobody opens it meanwhile. `false` when somebody has.
    ///
    /// # Errors
    /// What the kernel refuses; that it is not there is fine.
    fn remove_idle_tap(&self, tap: Tap) -> Result<bool, NetworkError>;

    /// Removes bridge and rules, which must have no taps any more. A bridge that is not ours stays.
    ///
    /// # Errors
    /// What the kernel refuses.
    fn remove_network(&self) -> Result<(), NetworkError>;

    /// The taps of a user.
    ///
    /// # Errors
    /// When the kernel does not tell.
    fn taps_of(&self, uid: OwnerUid) -> Result<Vec<Tap>, NetworkError> {
        let mut taps = self.wiring()?.taps;
        taps.retain(|tap| tap.guest.ownership.uid == uid);
        Ok(taps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_leads_back_to_its_guest_and_no_other_text_does() {
        let vm = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        let ownership = Ownership { uid: OwnerUid::new(1000).unwrap(), vm };
        let guest = Guest { ownership, address: Ipv4Addr::new(172, 16, 0, 7) };
        let (name, alias) = (Names::of(ownership).tap, guest.alias());
        assert_eq!(alias, "banger-u1000-67e55044-10b1-426f-9247-bb680e5fe0c8 172.16.0.7");
        // IFALIASZ is 256.
        assert!(alias.len() < 200);
        assert_eq!(Guest::of_tap(&name, &alias), Some(guest));
        assert_eq!(Guest::of_tap("bgr0123456789ab", &alias), None);
        for bad in [
            String::new(),
            alias.replace("172.16.0.7", "172.16.0.07"),
            alias.replace("172.16.0.7", "fd00::1"),
            alias.replace(' ', "  "),
            alias.replace("u1000", "u01000"),
            alias.replace("u1000", "u0"),
            alias.replace("67e5", "67E5"),
            format!("{alias} "),
            format!("{alias}\n"),
        ] {
            assert_eq!(Guest::of_tap(&name, &bad), None, "{bad}");
        }
    }

    #[test]
    fn hardware_addresses_are_local_and_of_one_card_each() {
        let [first, second, rest @ ..] = hardware(Ipv4Addr::new(10, 9, 8, 7));
        assert_eq!(first & 0b11, 0b10);
        assert_eq!((first, second, rest), (2, 0x62, [10, 9, 8, 7]));
    }
}
