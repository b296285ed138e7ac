//! The bridge's addresses: a network of IPv4 that the administrator chose.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use banger_proto::roothelper::{bridge_address, bridge_guests};

/// A network for guests, from /16 to /29.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    network: Ipv4Addr,
    prefix: u8,
}

/// Why a text is no such network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPool {
    /// It is not of the form `A.B.C.D/N`.
    #[error("use the form 172.16.0.0/24")]
    Form,
    /// Too many addresses, or too few.
    #[error("use a prefix from /{} to /{}", Pool::WIDEST, Pool::NARROWEST)]
    Prefix,
    /// Bits are set behind the prefix.
    #[error("the network of this prefix is {0}")]
    HostBits(Pool),
    /// Addresses that no card may have.
    #[error("guests cannot have these addresses: use a private network such as 172.16.0.0/24")]
    Reserved,
}

impl Pool {
    const WIDEST: u8 = 16;
    const NARROWEST: u8 = 29;

    /// Where no administrator said anything.
    pub const DEFAULT: Self = Self { network: Ipv4Addr::new(172, 16, 0, 0), prefix: 24 };

    /// The host's own address: the first.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | 1)
    }

    /// Bits of its prefix.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The bits that are the same in all its addresses.
    #[must_use]
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - self.prefix))
    }

    /// How many guests it has addresses for: all but the network's, the host's and the broadcast.
    #[must_use]
    pub const fn guests(self) -> u32 {
        bridge_guests(self.prefix)
    }

    /// The address of one of them, from 0.
    #[must_use]
    pub const fn guest(self, number: u32) -> Ipv4Addr {
        bridge_address(self.network, self.prefix, number)
    }

    /// Whether this is an address of a guest.
    #[must_use]
    pub fn is_guests(self, address: Ipv4Addr) -> bool {
        address
            .to_bits()
            .checked_sub(self.network.to_bits() + 2)
            .is_some_and(|at| at < self.guests())
    }

    /// Whether it has an address of this network.
    #[must_use]
    pub fn overlaps(self, network: Ipv4Addr, prefix: u8) -> bool {
        let bits = self.prefix.min(prefix).min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        (self.network.to_bits() ^ network.to_bits()) & mask == 0
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Pool {
    type Err = NotAPool;

    fn from_str(text: &str) -> Result<Self, NotAPool> {
        let (address, prefix) = text.split_once('/').ok_or(NotAPool::Form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NotAPool::Form)?;
        // `+24` and `024` are numbers to the parser.
        if prefix.is_empty() || prefix.len() > 2 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAPool::Form);
        }
        let prefix: u8 = prefix.parse().map_err(|_| NotAPool::Form)?;
        if !(Self::WIDEST..=Self::NARROWEST).contains(&prefix) {
            return Err(NotAPool::Prefix);
        }
        let mask = u32::MAX << (32 - prefix);
        let network = Ipv4Addr::from_bits(address.to_bits() & mask);
        let pool = Self { network, prefix };
        if network != address {
            return Err(NotAPool::HostBits(pool));
        }
        let first = network.octets()[0];
        if first == 0 || first >= 224 || network.is_loopback() || network.is_link_local() {
            return Err(NotAPool::Reserved);
        }
        Ok(pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_shown() {
        for text in ["172.16.0.0/24", "10.0.0.0/16", "192.168.7.248/29", "100.64.0.0/22"] {
            assert_eq!(text.parse::<Pool>().unwrap().to_string(), text);
        }
        assert_eq!("172.16.0.0/24".parse(), Ok(Pool::DEFAULT));
        assert_eq!(Pool::DEFAULT.gateway(), Ipv4Addr::new(172, 16, 0, 1));
    }

    #[test]
    fn guests_have_all_addresses_but_three() {
        let pool: Pool = "10.0.0.248/29".parse().unwrap();
        let all: Vec<_> = (0..pool.guests()).map(|at| pool.guest(at).to_string()).collect();
        assert_eq!(all, ["10.0.0.250", "10.0.0.251", "10.0.0.252", "10.0.0.253", "10.0.0.254"]);
        assert_eq!(pool.guest(5), pool.guest(0));
        assert_eq!(pool.mask(), Ipv4Addr::new(255, 255, 255, 248));
        let guests = (0..=255).map(|at| Ipv4Addr::new(10, 0, 0, at));
        assert_eq!(guests.filter(|guest| pool.is_guests(*guest)).count(), 5);
        assert!(!pool.is_guests(pool.gateway()) && pool.is_guests(pool.guest(4)));
        assert_eq!("10.0.0.0/16".parse::<Pool>().unwrap().guests(), 65_533);
    }

    #[test]
    fn networks_overlap_when_one_is_in_the_other() {
        let overlaps = |network: [u8; 4], prefix| Pool::DEFAULT.overlaps(network.into(), prefix);
        assert!(overlaps([172, 16, 0, 0], 24) && overlaps([172, 16, 0, 128], 25));
        assert!(overlaps([172, 16, 0, 9], 32) && overlaps([172, 16, 0, 0], 12));
        assert!(overlaps([0, 0, 0, 0], 0) && overlaps([128, 0, 0, 0], 1));
        assert!(!overlaps([172, 16, 1, 0], 24) && !overlaps([172, 17, 0, 0], 16));
        assert!(!overlaps([172, 16, 1, 9], 32) && !overlaps([0, 0, 0, 0], 1));
    }

    #[test]
    fn what_is_no_network_for_guests_is_refused() {
        for (text, why) in [
            ("", NotAPool::Form),
            ("172.16.0.0", NotAPool::Form),
            ("172.16.0.0/", NotAPool::Form),
            ("172.16.0.0/+24", NotAPool::Form),
            ("172.16.0.0/024", NotAPool::Form),
            ("172.16.0/24", NotAPool::Form),
            ("fd00::/64", NotAPool::Form),
            ("10.0.0.0/8", NotAPool::Prefix),
            ("10.0.0.0/30", NotAPool::Prefix),
            ("10.0.0.0/99", NotAPool::Prefix),
            ("172.16.0.1/24", NotAPool::HostBits(Pool::DEFAULT)),
            ("0.0.0.0/24", NotAPool::Reserved),
            ("127.0.0.0/24", NotAPool::Reserved),
            ("169.254.0.0/16", NotAPool::Reserved),
            ("224.0.0.0/24", NotAPool::Reserved),
        ] {
            assert_eq!(text.parse::<Pool>(), Err(why), "{text}");
        }
    }
}
