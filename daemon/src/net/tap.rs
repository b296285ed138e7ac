//! A VM's tap on the root helper's bridge, as its record keeps it and its VMM opens it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use banger_proto::roothelper::{AttachedNetwork, Tap as Attached};
use serde::{Deserialize, Serialize};
use tun_rs::{DeviceBuilder, Layer};

use super::{Card, MacAddress};

/// A tap that the root helper made for a VM.
///
/// It is opened here, so that the VMM can have a network namespace of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Name of the interface.
    pub name: String,
    /// What the guest's end must be.
    pub card: Card,
    /// Whether the host lets the guest out to other networks.
    pub nat: bool,
}

impl Tap {
    /// The tap that was attached. Where root names no name servers and the guest has a way
    /// out, it gets `resolvers`: without a way out it reaches none of them.
    #[must_use]
    pub fn of(attached: AttachedNetwork, resolvers: impl FnOnce() -> Vec<Ipv4Addr>) -> Self {
        let AttachedNetwork { tap, nat, .. } = attached;
        let Attached { name, mac, address, prefix, gateway, mut nameservers, .. } = tap;
        if nameservers.is_empty() && nat {
            nameservers = resolvers();
        }
        let mac = MacAddress::from(mac);
        Self { name, card: Card { mac, address, prefix, gateway, nameservers }, nat }
    }

    /// Opens it as the user that it was made for: frames, each behind the header that says what
    /// the sender's card left to do.
    ///
    /// # Errors
    /// What the operating system says: it is gone, or somebody else has it open.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let builder = DeviceBuilder::new().name(&self.name).layer(Layer::L2).offload(true);
        // It is up already, and whoever may open it may not say so; the copy keeps it open.
        builder.inherit_enable_state().build_sync()?.as_fd().try_clone_to_owned()
    }
}

#[cfg(test)]
impl Tap {
    /// One of a bridge with a way out.
    pub(crate) fn sample() -> Self {
        let card = Card {
            mac: MacAddress::from([2, 0x62, 172, 16, 0, 7]),
            address: Ipv4Addr::new(172, 16, 0, 7),
            prefix: 24,
            gateway: Ipv4Addr::new(172, 16, 0, 1),
            nameservers: vec![Ipv4Addr::new(9, 9, 9, 9)],
        };
        Self { name: "bgr0123456789ab".into(), card, nat: true }
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::roothelper::Change;

    use super::*;

    #[test]
    fn it_has_the_hosts_resolvers_where_root_names_none_and_they_can_be_reached() {
        let attached = |nat, nameservers: &[Ipv4Addr]| {
            let Tap { name, card, .. } = Tap::sample();
            let tap = Attached {
                name,
                index: 7,
                mac: [2, 0x62, 172, 16, 0, 7],
                address: card.address,
                prefix: card.prefix,
                gateway: card.gateway,
                nameservers: nameservers.to_vec(),
                mtu: 1500,
            };
            AttachedNetwork { change: Change::Created, tap, nat }
        };
        let hosts = || vec![Ipv4Addr::new(9, 9, 9, 9)];
        assert_eq!(Tap::of(attached(true, &[]), hosts), Tap::sample());
        assert!(Tap::of(attached(false, &[]), hosts).card.nameservers.is_empty());
        let named = [Ipv4Addr::new(172, 16, 0, 1)];
        for nat in [true, false] {
            assert_eq!(Tap::of(attached(nat, &named), hosts).card.nameservers, named);
        }
    }

    #[test]
    fn one_that_is_not_there_cannot_be_opened_and_is_not_made() {
        // Root's own would be made, and go with its descriptor.
        if rustix::process::geteuid().is_root() {
            return;
        }
        let tap = Tap { name: "bgrnosuchtap".into(), ..Tap::sample() };
        assert!(tap.open().is_err());
        assert!(!std::path::Path::new("/sys/class/net/bgrnosuchtap").exists());
    }
}
