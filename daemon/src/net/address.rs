//! The guest's addresses: pure, and for user-mode networks always the same.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use banger_proto::Invalid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The addresses of a user-mode network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPlan {
    /// The guest's own.
    pub address: Ipv4Addr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// The way out.
    pub gateway: Ipv4Addr,
    /// Who resolves names.
    pub dns: Ipv4Addr,
}

impl AddressPlan {
    /// The plan of user-mode networks. Every guest is alone in its network, so all
    /// of them have the same addresses; they are those QEMU's users know.
    pub const USER_MODE: Self = Self {
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        gateway: Ipv4Addr::new(10, 0, 2, 2),
        dns: Ipv4Addr::new(10, 0, 2, 3),
    };

    /// The network's own address.
    #[must_use]
    pub fn network(&self) -> Ipv4Addr {
        self.address & netmask(self.prefix)
    }
}

/// A prefix as a mask, for tools that want no prefix length.
fn netmask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32 - u32::from(prefix.min(32));
    Ipv4Addr::from_bits(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

/// A guest's network card, as its own files have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its link-layer address.
    #[serde(with = "crate::store::text")]
    pub mac: MacAddress,
    /// The guest's address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// The way out.
    pub gateway: Ipv4Addr,
    /// Who resolves names.
    pub nameservers: Vec<Ipv4Addr>,
}

impl Card {
    /// The card of the VM with this id in its own user-mode network.
    #[must_use]
    pub fn user_mode(id: Uuid) -> Self {
        let AddressPlan { address, prefix, gateway, dns } = AddressPlan::USER_MODE;
        Self { mac: MacAddress::of(id), address, prefix, gateway, nameservers: vec![dns] }
    }

    /// The netmask.
    #[must_use]
    pub fn netmask(&self) -> Ipv4Addr {
        netmask(self.prefix)
    }
}

/// A guest's link-layer address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The address of the VM with this id: always the same, locally administered,
    /// unicast.
    #[must_use]
    pub fn of(id: Uuid) -> Self {
        let digest = Sha256::new().chain_update(b"banger mac\0").chain_update(id).finalize();
        let mut bytes = [0; 6];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = from;
        }
        bytes[0] = bytes[0] & 0b1111_1100 | 0b0000_0010;
        Self(bytes)
    }
}

impl From<[u8; 6]> for MacAddress {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl FromStr for MacAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("hardware address", text, "use six bytes: 02:00:00:00:00:01");
        let mut bytes = [0; 6];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().filter(|word| word.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(word, 16).map_err(|_| invalid())?;
        }
        if words.next().is_some() { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_one_network() {
        let plan = AddressPlan::USER_MODE;
        let card = Card::user_mode(Uuid::from_u128(7));
        assert_eq!(card.netmask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(plan.network(), Ipv4Addr::new(10, 0, 2, 0));
        for address in [plan.gateway, plan.dns] {
            assert_eq!(address & card.netmask(), plan.network());
        }
        assert_eq!((netmask(0), netmask(32)), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    }

    #[test]
    fn a_mac_is_local_unicast_lasting_and_of_one_vm() {
        let id = Uuid::from_u128(7);
        let MacAddress(bytes) = MacAddress::of(id);
        assert_eq!(bytes[0] & 0b11, 0b10);
        assert_eq!(MacAddress::of(id), MacAddress::of(id));
        assert_ne!(MacAddress::of(id), MacAddress::of(Uuid::from_u128(8)));
        let mac = MacAddress([2, 0xab, 0, 1, 2, 3]);
        assert_eq!(mac.to_string(), "02:ab:00:01:02:03");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for odd in ["", "02:ab:00:01:02", "02:ab:00:01:02:03:04", "2:ab:00:01:02:03", "02:xy:0:1"] {
            assert!(odd.parse::<MacAddress>().is_err(), "{odd}");
        }
    }
}
