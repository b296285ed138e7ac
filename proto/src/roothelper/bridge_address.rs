//! The addresses of guests on the root helper's bridge, as far as they can be known beforehand.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use crate::VmId;

/// How many guests a network of this prefix has addresses for: all but the network's, the host's
/// and the broadcast. None where the prefix leaves no room.
#[must_use]
pub const fn bridge_guests(prefix: u8) -> u32 {
    match 1u32.checked_shl(32u32.saturating_sub(prefix as u32)) {
        Some(all) => all.saturating_sub(3),
        None => 0,
    }
}

/// The address of one of them, from 0; behind the last comes the first again.
///
/// The prefix is one that leaves room for a guest.
#[must_use]
pub const fn bridge_address(network: Ipv4Addr, prefix: u8, number: u32) -> Ipv4Addr {
    let guests = bridge_guests(prefix);
    let number = if guests == 0 { 0 } else { number % guests };
    Ipv4Addr::from_bits(network.to_bits().wrapping_add(2 + number))
}

/// The number of the address that a user's VM has in a network for so many guests, unless
/// somebody else has it already: then it gets the next that is free.
#[must_use]
pub fn usual_number(uid: u32, vm: VmId, guests: u32) -> u32 {
    let digest = Sha256::new()
        .chain_update(b"address\0")
        .chain_update(uid.to_be_bytes())
        .chain_update(vm.as_bytes())
        .finalize();
    let number = digest.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte));
    number.checked_rem(guests).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_an_address_of_the_network_that_a_guest_may_have() {
        let network = Ipv4Addr::new(172, 16, 0, 0);
        assert_eq!([16, 24, 29].map(bridge_guests), [65_533, 253, 5]);
        assert_eq!([31, 32, 33].map(bridge_guests), [0, 0, 0]);
        assert_eq!(bridge_address(network, 29, 0), Ipv4Addr::new(172, 16, 0, 2));
        assert_eq!(bridge_address(network, 29, 4), Ipv4Addr::new(172, 16, 0, 6));
        assert_eq!(bridge_address(network, 29, 5), Ipv4Addr::new(172, 16, 0, 2));
    }

    #[test]
    fn the_usual_number_is_the_vms_and_the_users_own() {
        let (one, other) = (VmId::random(), VmId::random());
        let number = |uid, vm| usual_number(uid, vm, 65_533);
        assert_eq!(number(1000, one), number(1000, one));
        assert_ne!(number(1000, one), number(1001, one));
        assert_ne!(number(1000, one), number(1000, other));
        assert!(usual_number(1000, one, 5) < 5);
        assert_eq!(usual_number(1000, one, 0), 0);
    }
}
