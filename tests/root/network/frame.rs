//! Frames of Ethernet, as guests write them.

use std::fmt;
use std::net::Ipv4Addr;

use banger_roothelper::kernel::network::Guest;

/// A frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame(pub(crate) Vec<u8>);

pub(crate) const EVERYBODY: [u8; 6] = [0xff; 6];
pub(crate) const UDP: u8 = 17;
const ICMP: u8 = 1;

impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.hex())
    }
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|two| str::from_utf8(two).ok());
    let bytes = digits.map(|two| u8::from_str_radix(two?, 16).ok());
    bytes.collect::<Option<Vec<_>>>().filter(|bytes| !bytes.is_empty())
}

fn sum(bytes: &[u8]) -> [u8; 2] {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

impl Frame {
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn new(to: [u8; 6], from: [u8; 6], kind: u16, body: &[u8]) -> Self {
        Self([&to, &from, &kind.to_be_bytes()[..], body].concat())
    }

    /// A packet of IPv4 in a frame.
    pub(crate) fn ipv4(
        hardware: ([u8; 6], [u8; 6]),
        (from, to): (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        body: &[u8],
    ) -> Self {
        let mut head = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
        head[2..4].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
        head.extend(from.octets());
        head.extend(to.octets());
        let check = sum(&head);
        head[10..12].copy_from_slice(&check);
        head.extend(body);
        Self::new(hardware.0, hardware.1, 0x0800, &head)
    }

    /// A datagram from port 1234, without the checksum that it may lack.
    pub(crate) fn udp(
        hardware: ([u8; 6], [u8; 6]),
        addresses: (Ipv4Addr, Ipv4Addr),
        port: u16,
        text: &str,
    ) -> Self {
        let mut body = 1234u16.to_be_bytes().to_vec();
        body.extend(port.to_be_bytes());
        body.extend((8 + text.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(text.as_bytes());
        Self::ipv4(hardware, addresses, UDP, &body)
    }

    /// A request for an echo.
    pub(crate) fn ping(
        hardware: ([u8; 6], [u8; 6]),
        addresses: (Ipv4Addr, Ipv4Addr),
        number: u8,
    ) -> Self {
        let mut body = vec![8, 0, 0, 0, 0, 7, 0, number];
        let check = sum(&body);
        body[2..4].copy_from_slice(&check);
        Self::ipv4(hardware, addresses, ICMP, &body)
    }

    /// What says (2) or asks (1) in a frame from `from` whose an address is.
    pub(crate) fn arp(
        (to, from): ([u8; 6], [u8; 6]),
        what: u8,
        sender: ([u8; 6], Ipv4Addr),
        target: Ipv4Addr,
    ) -> Self {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, what];
        body.extend(sender.0);
        body.extend(sender.1.octets());
        body.extend([0; 6]);
        body.extend(target.octets());
        Self::new(to, from, 0x0806, &body)
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// Whether it is the answer to this ping.
    pub(crate) fn answers(&self, number: u8) -> bool {
        self.0.get(12..14) == Some(&[8, 0])
            && self.0.get(23) == Some(&ICMP)
            && self.0.get(34) == Some(&0)
            && self.0.get(40..42) == Some(&[0, number])
    }

    pub(crate) fn source(&self) -> Option<Ipv4Addr> {
        let four: [u8; 4] = self.0.get(26..30)?.try_into().ok()?;
        (self.0.get(12..14) == Some(&[8, 0])).then_some(four.into())
    }
}

/// A ping of the gateway that is as it should be.
pub(crate) fn good_ping(guest: Guest, number: u8) -> Frame {
    let hardware = (super::place::gateway(), guest.hardware());
    Frame::ping(hardware, (guest.address, super::place::GATEWAY), number)
}
