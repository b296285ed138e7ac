//! The guest's addresses: pure, the same for every user-mode network.

use std::fmt;
use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A guest's addresses.
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

    /// The netmask, for tools that want no prefix length.
    #[must_use]
    pub fn netmask(&self) -> Ipv4Addr {
        let host_bits = 32 - u32::from(self.prefix.min(32));
        Ipv4Addr::from_bits(u32::MAX.checked_shl(host_bits).unwrap_or(0))
    }

    /// The network's own address.
    #[must_use]
    pub fn network(&self) -> Ipv4Addr {
        self.address & self.netmask()
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
        assert_eq!(plan.netmask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(plan.network(), Ipv4Addr::new(10, 0, 2, 0));
        for address in [plan.gateway, plan.dns] {
            assert_eq!(address & plan.netmask(), plan.network());
        }
        assert_eq!(AddressPlan { prefix: 0, ..plan }.netmask(), Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn a_mac_is_local_unicast_lasting_and_of_one_vm() {
        let id = Uuid::from_u128(7);
        let MacAddress(bytes) = MacAddress::of(id);
        assert_eq!(bytes[0] & 0b11, 0b10);
        assert_eq!(MacAddress::of(id), MacAddress::of(id));
        assert_ne!(MacAddress::of(id), MacAddress::of(Uuid::from_u128(8)));
        assert_eq!(MacAddress([2, 0xab, 0, 1, 2, 3]).to_string(), "02:ab:00:01:02:03");
    }
}
