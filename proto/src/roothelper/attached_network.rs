//! A VM's tap on banger's bridge, and the addresses that its guest must use.

use std::net::Ipv4Addr;

use super::Change;
use crate::Invalid;
use crate::wire::roothelper as wire;

/// A tap that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedNetwork {
    /// [`Change::None`] or [`Change::Created`].
    pub change: Change,
    /// The tap.
    pub tap: Tap,
    /// Whether the host lets the guest out to other networks: root's configuration says so, and it forwards packets.
    pub nat: bool,
}

/// A tap of the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Interface name, 1 to 15 letters and digits.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Hardware address of the guest.
    pub mac: [u8; 6],
    /// Address of the guest.
    pub address: Ipv4Addr,
    /// Bits of the network's prefix, from 1 to 30.
    pub prefix: u8,
    /// The guest's way out.
    pub gateway: Ipv4Addr,
    /// Who resolves names for the guest; none where root names nobody.
    pub nameservers: Vec<Ipv4Addr>,
    /// Bytes of the largest packet, from 576.
    pub mtu: u32,
}

pub(super) fn address(bytes: &[u8]) -> Result<Ipv4Addr, Invalid> {
    let four: [u8; 4] = bytes
        .try_into()
        .map_err(|_| Invalid::new("address", &format!("{bytes:?}"), "use four bytes"))?;
    Ok(four.into())
}

fn interface(name: String) -> Result<String, Invalid> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain && (1..=15).contains(&name.len()) {
        Ok(name)
    } else {
        Err(Invalid::new("interface", &name, "use 1 to 15 letters and digits"))
    }
}

impl TryFrom<Option<wire::Tap>> for Tap {
    type Error = Invalid;

    fn try_from(wire: Option<wire::Tap>) -> Result<Self, Invalid> {
        let wire = wire.ok_or_else(|| Invalid::new("tap", "", "not one of this version"))?;
        let mac = wire.mac.as_slice().try_into();
        let prefix = u8::try_from(wire.prefix).ok().filter(|bits| (1..=30).contains(bits));
        if wire.mtu < 576 {
            return Err(Invalid::new("MTU", &wire.mtu.to_string(), "use at least 576"));
        }
        Ok(Self {
            name: interface(wire.name)?,
            index: wire.index,
            mac: mac.map_err(|_| {
                Invalid::new("hardware address", &format!("{:?}", wire.mac), "use six bytes")
            })?,
            address: address(&wire.address)?,
            prefix: prefix.ok_or_else(|| {
                Invalid::new("prefix", &wire.prefix.to_string(), "use 1 to 30 bits")
            })?,
            gateway: address(&wire.gateway)?,
            nameservers: wire
                .nameservers
                .iter()
                .map(|bytes| address(bytes))
                .collect::<Result<_, _>>()?,
            mtu: wire.mtu,
        })
    }
}

impl From<Tap> for wire::Tap {
    fn from(tap: Tap) -> Self {
        let bytes = |address: &Ipv4Addr| address.octets().to_vec();
        Self {
            name: tap.name,
            index: tap.index,
            mac: tap.mac.to_vec(),
            address: bytes(&tap.address),
            prefix: tap.prefix.into(),
            gateway: bytes(&tap.gateway),
            nameservers: tap.nameservers.iter().map(bytes).collect(),
            mtu: tap.mtu,
        }
    }
}

impl TryFrom<wire::AttachNetworkResponse> for AttachedNetwork {
    type Error = Invalid;

    fn try_from(wire: wire::AttachNetworkResponse) -> Result<Self, Invalid> {
        Ok(Self {
            change: Change::among(wire.change, &[Change::None, Change::Created])?,
            tap: wire.tap.try_into()?,
            nat: wire.nat,
        })
    }
}

impl From<AttachedNetwork> for wire::AttachNetworkResponse {
    fn from(network: AttachedNetwork) -> Self {
        Self { change: network.change.to_wire(), tap: Some(network.tap.into()), nat: network.nat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_survives_the_wire_and_odd_ones_are_refused() {
        let network = AttachedNetwork {
            change: Change::Created,
            tap: Tap {
                name: "bgr0123456789ab".into(),
                index: 7,
                mac: [2, 0, 0, 0, 0, 1],
                address: Ipv4Addr::new(172, 16, 0, 2),
                prefix: 24,
                gateway: Ipv4Addr::new(172, 16, 0, 1),
                nameservers: vec![Ipv4Addr::new(172, 16, 0, 1)],
                mtu: 1500,
            },
            nat: true,
        };
        let wire = wire::AttachNetworkResponse::from(network.clone());
        assert_eq!(AttachedNetwork::try_from(wire.clone()), Ok(network));
        let tap = wire.tap.unwrap();
        let odd: [fn(&mut wire::Tap); 7] = [
            |tap| tap.name = "a/../b".into(),
            |tap| tap.name = "x".repeat(16),
            |tap| tap.mac = vec![0; 5],
            |tap| tap.address = vec![],
            |tap| tap.prefix = 33,
            |tap| tap.nameservers = vec![vec![1; 16]],
            |tap| tap.mtu = 0,
        ];
        for change in odd {
            let mut tap = tap.clone();
            change(&mut tap);
            assert!(Tap::try_from(Some(tap.clone())).is_err(), "{tap:?}");
        }
        assert!(Tap::try_from(None).is_err());
    }
}
