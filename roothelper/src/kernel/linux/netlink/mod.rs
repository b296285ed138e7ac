//! Netlink: messages to the kernel and its answers, byte by byte, and the socket they go through.

mod attributes;
mod frame;
mod message;
mod socket;

pub(super) use attributes::Attributes;
pub(super) use message::Message;
pub(super) use socket::{Netlink, NetlinkError, Protocol};

/// A number of 32 bits at a place of a fixed header, in the machine's order.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

/// A number of 16 bits.
pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(two.try_into().ok()?))
}
