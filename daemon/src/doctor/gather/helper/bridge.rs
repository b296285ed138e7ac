//! The bridge's network: what the helper's configuration wants, and what the host has.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;

use super::super::super::facts::{Bridge, Network};

const CONFIGURATION: &str = "/etc/banger/roothelper.toml";
const BRIDGE: &str = "banger0";

pub(super) fn look() -> Bridge {
    let wanted = match fs::read_to_string(CONFIGURATION) {
        Ok(text) => wanted(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => wanted(""),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Bridge {
        wanted: wanted.map_err(|why| format!("{CONFIGURATION} {why}")),
        routes: routes(&text("/proc/net/route")),
        forwards: text("/proc/sys/net/ipv4/ip_forward").trim() == "1",
    }
}

/// Pool and NAT, as the helper reads them.
fn wanted(text: &str) -> Result<(Network, bool), String> {
    let tables: toml::Table = toml::from_str(text)
        .map_err(|error| format!("is no TOML: {}", error.message().replace('\n', " ")))?;
    let of = |key: &str| tables.get("network").and_then(|network| network.get(key));
    let pool = match of("pool") {
        None => "172.16.0.0/24",
        Some(value) => value.as_str().ok_or("has a pool that is no text")?,
    };
    let network = network(pool).ok_or_else(|| format!("has a pool that is no network: {pool}"))?;
    let nat = match of("nat") {
        None => false,
        Some(value) => value.as_bool().ok_or("has a `nat` that is neither true nor false")?,
    };
    Ok((network, nat))
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/')?;
    let network = Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
    (16..=29).contains(&network.prefix).then_some(network)
}

/// The host's routes, but those of the bridge and those to everywhere.
fn routes(text: &str) -> Vec<(Network, String)> {
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let hexadecimal = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        // In the processor's order, as the kernel prints them.
        let address = Ipv4Addr::from(hexadecimal(1)?.to_ne_bytes());
        let prefix = u8::try_from(hexadecimal(7)?.count_ones()).ok()?;
        let through = *fields.first()?;
        (prefix > 1 && through != BRIDGE).then(|| (Network { address, prefix }, through.to_owned()))
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: [u8; 4], prefix: u8) -> Network {
        Network { address: address.into(), prefix }
    }

    #[test]
    fn the_configuration_is_read_as_the_helper_reads_it() {
        assert_eq!(wanted(""), Ok((at([172, 16, 0, 0], 24), false)));
        let text = "[quota]\nvms = 3\n[network]\npool = \"10.9.0.0/16\"\nnat = true\n";
        assert_eq!(wanted(text), Ok((at([10, 9, 0, 0], 16), true)));
        for bad in
            ["[network", "[network]\npool = 7", "[network]\nnat = 1", "[network]\npool = \"x\""]
        {
            assert!(wanted(bad).is_err(), "{bad}");
        }
        let shipped = include_str!("../../../../../packaging/roothelper.toml");
        assert_eq!(wanted(shipped), wanted(""));
    }

    #[test]
    fn routes_are_those_of_the_host_to_somewhere() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                    eth0 00000000 0102000A 0003 0 0 0 00000000 0 0 0\n\
                    wg0 000010AC 00000000 0001 0 0 0 0000F0FF 0 0 0\n\
                    banger0 000010AC 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
                    broken\n";
        assert_eq!(routes(text), [(at([172, 16, 0, 0], 12), "wg0".to_owned())]);
    }
}
