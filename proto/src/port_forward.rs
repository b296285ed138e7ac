//! Ports of the guest that are published on the host.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::{Invalid, wire::daemon as wire};

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the guest that a port of the host leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortForward {
    /// The host's address that is bound.
    pub address: Ipv4Addr,
    /// The host's port; a free one is chosen at each start when absent.
    pub host: Option<u16>,
    /// The guest's port.
    pub guest: u16,
    /// What it is for.
    pub protocol: Protocol,
}

impl PortForward {
    /// Most that one VM may have.
    const MOST: usize = 64;
    const NOUN: &'static str = "published port";
    const RULE: &'static str = "use [[ADDRESS:]HOST:]GUEST[/tcp|udp] with ports from 1 to 65535 \
         and an IPv4 address, as in 8080:80, 127.0.0.1:5353:53/udp, or 80 for a free port of the host";

    /// A port of the loopback address.
    #[must_use]
    pub const fn loopback(host: u16, guest: u16) -> Self {
        Self { address: Ipv4Addr::LOCALHOST, host: Some(host), guest, protocol: Protocol::Tcp }
    }

    /// Whether both would be bound to one port of the host.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let everywhere = |one: &Self| one.address.is_unspecified();
        self.host.is_some()
            && self.host == other.host
            && self.protocol == other.protocol
            && (self.address == other.address || everywhere(self) || everywhere(other))
    }

    /// What one VM may have together.
    ///
    /// # Errors
    /// When there are too many, or one port of the host is meant twice: by whatever
    /// address, since not every network tells addresses apart.
    pub fn check(all: &[Self]) -> Result<(), Invalid> {
        if all.len() > Self::MOST {
            let count = all.len().to_string();
            return Err(Invalid::new("number of published ports", &count, "use at most 64"));
        }
        for (index, one) in all.iter().enumerate() {
            let same = |other: &&Self| {
                one.host.is_some() && one.host == other.host && one.protocol == other.protocol
            };
            if all.get(..index).unwrap_or_default().iter().any(|other| same(&other)) {
                return Err(Invalid::new(
                    Self::NOUN,
                    &one.to_string(),
                    "use a port of the host once",
                ));
            }
        }
        Ok(())
    }

    /// `127.0.0.1:8080`; without the port while none is chosen.
    #[must_use]
    pub fn bound(&self) -> String {
        match self.host {
            Some(host) => format!("{}:{host}", self.address),
            None => self.address.to_string(),
        }
    }

    /// `127.0.0.1:8080 -> 80/tcp`.
    #[must_use]
    pub fn arrow(&self) -> String {
        format!("{} -> {}/{}", self.bound(), self.guest, self.protocol.as_str())
    }
}

/// A port's number; only digits, and not 0.
fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port != 0)
}

fn parse(text: &str) -> Option<PortForward> {
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next()?, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some(_) => return None,
    };
    let parts: Vec<_> = ports.split(':').collect();
    let (address, host, guest) = match parts[..] {
        [guest] => (None, "", guest),
        [host, guest] => (None, host, guest),
        [address, host, guest] => (Some(address), host, guest),
        _ => return None,
    };
    Some(PortForward {
        address: address.map_or(Some(Ipv4Addr::LOCALHOST), |text| text.parse().ok())?,
        host: if host.is_empty() { None } else { Some(port(host)?) },
        guest: port(guest)?,
        protocol,
    })
}

impl FromStr for PortForward {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text).ok_or_else(|| Invalid::new(Self::NOUN, text, Self::RULE))
    }
}

/// As it is read: `127.0.0.1:8080:80/tcp`, `127.0.0.1::80/tcp`.
impl fmt::Display for PortForward {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.map(|host| host.to_string()).unwrap_or_default();
        write!(formatter, "{}:{host}:{}/{}", self.address, self.guest, self.protocol.as_str())
    }
}

impl TryFrom<wire::PortForward> for PortForward {
    type Error = Invalid;

    fn try_from(wire: wire::PortForward) -> Result<Self, Invalid> {
        let invalid = |value: &str| Invalid::new(Self::NOUN, value, Self::RULE);
        let number = |port: u32| u16::try_from(port).map_err(|_| invalid(&port.to_string()));
        let protocol = match wire.protocol() {
            wire::Protocol::Tcp => Protocol::Tcp,
            wire::Protocol::Udp => Protocol::Udp,
            wire::Protocol::Unspecified => return Err(invalid("of no protocol")),
        };
        Ok(Self {
            address: wire.address.parse().map_err(|_| invalid(&wire.address))?,
            host: Some(number(wire.host_port)?).filter(|port| *port != 0),
            guest: Some(number(wire.guest_port)?)
                .filter(|port| *port != 0)
                .ok_or_else(|| invalid("0"))?,
            protocol,
        })
    }
}

impl From<PortForward> for wire::PortForward {
    fn from(forward: PortForward) -> Self {
        Self {
            address: forward.address.to_string(),
            host_port: forward.host.unwrap_or(0).into(),
            guest_port: forward.guest.into(),
            protocol: match forward.protocol {
                Protocol::Tcp => wire::Protocol::Tcp,
                Protocol::Udp => wire::Protocol::Udp,
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        for (text, shown) in [
            ("80", "127.0.0.1::80/tcp"),
            (":80", "127.0.0.1::80/tcp"),
            ("8080:80", "127.0.0.1:8080:80/tcp"),
            ("8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("5353:53/udp", "127.0.0.1:5353:53/udp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"),
            ("127.0.0.2::80", "127.0.0.2::80/tcp"),
        ] {
            let forward: PortForward = text.parse().unwrap();
            assert_eq!(forward.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(forward), "what is shown is read");
            let wire = wire::PortForward::from(forward);
            assert_eq!(PortForward::try_from(wire), Ok(forward));
        }
        let forward: PortForward = "8080:80".parse().unwrap();
        assert_eq!(forward.arrow(), "127.0.0.1:8080 -> 80/tcp");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            ":",
            "0",
            "8080:",
            "8080:0",
            "0:80",
            "65536:80",
            "80/",
            "80/sctp",
            "80/tcp/udp",
            "+80",
            "http",
            "localhost:8080:80",
            "[::1]:8080:80",
            "1:2:3:4",
            "0.0.0.0:80",
            " 80",
            "8080-8090:80",
        ] {
            assert!(text.parse::<PortForward>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_of_the_host_has_one_use() {
        let all = |texts: &[&str]| -> Vec<PortForward> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let check = |texts: &[&str]| PortForward::check(&all(texts)).is_ok();
        assert!(check(&["8080:80", "8081:80", "8080:80/udp", "80", "80"]));
        assert!(!check(&["8080:80", "8080:81"]));
        assert!(!check(&["127.0.0.1:8080:80", "127.0.0.2:8080:80"]));
        assert!(PortForward::check(&vec![all(&["80"])[0]; 65]).is_err());
        for (one, other, overlap) in [
            ("8080:80", "8080:443", true),
            ("8080:80", "0.0.0.0:8080:80", true),
            ("8080:80", "127.0.0.2:8080:80", false),
            ("8080:80", "8080:80/udp", false),
            ("80", "80", false),
        ] {
            let [one, other] = [one, other].map(|text| text.parse::<PortForward>().unwrap());
            assert_eq!(one.overlaps(&other), overlap, "{one} {other}");
        }
    }
}
