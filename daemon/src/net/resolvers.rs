//! Who resolves names for a guest on the bridge: the host's own resolvers, as far as a guest
//! reaches them.

use std::fs;
use std::net::Ipv4Addr;

/// The host's resolvers, and what systemd-resolved writes for those who ask them themselves,
/// where the first is itself on the loopback address.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// As many as a C library asks.
const AT_MOST: usize = 3;

/// The host's resolvers that are of use to a guest; none when there is none.
#[must_use]
pub fn resolvers() -> Vec<Ipv4Addr> {
    let texts = FILES.map(|path| fs::read_to_string(path).unwrap_or_default());
    texts.iter().map(|text| useful(text)).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Those of a `resolv.conf` that are somebody else's address, of IPv4.
fn useful(text: &str) -> Vec<Ipv4Addr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<Ipv4Addr>().ok())?
    });
    let elsewhere = |address: &Ipv4Addr| {
        !(address.is_loopback()
            || address.is_unspecified()
            || address.is_link_local()
            || address.is_multicast()
            || address.is_broadcast())
    };
    addresses.filter(elsewhere).take(AT_MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_hosts_loopback_or_of_ipv6_is_of_no_use() {
        let text = "# nameserver 1.1.1.1\nsearch home.arpa\nnameserver 127.0.0.53\n\
                    nameserver fd00::1\n nameserver\t192.168.1.1 # router\r\nnameserver 9.9.9.9\n\
                    nameserver\nnameserver 0.0.0.0\nnameserver 169.254.1.1\nnameserver x\n\
                    nameservers 8.8.8.8\nnameserver 1.0.0.1\nnameserver 1.1.1.1\n";
        let found = useful(text);
        let expected = [[192, 168, 1, 1], [9, 9, 9, 9], [1, 0, 0, 1]].map(Ipv4Addr::from);
        assert_eq!(found, expected);
        assert!(useful("nameserver 127.0.0.53\noptions edns0\n").is_empty());
        assert!(useful("").is_empty());
    }
}
