//! What a rule looks at and does, each part a step of the kernel's small machine with its registers.

use crate::kernel::linux::netlink::Message;

/// A register of four bytes; the next ones follow.
pub(super) const FIRST: u32 = 8;
/// The one that holds a verdict.
const VERDICT: u32 = 0;

/// `NFT_META_*`: what is known of a packet beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    Mark = 3,
    InName = 6,
    OutName = 7,
    Family = 15,
    Protocol = 16,
    InGroup = 21,
    OutGroup = 22,
}

/// `NFT_PAYLOAD_*_HEADER`: where bytes are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// `NFT_CT_*`: what is known of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    State = 0,
    Status = 2,
}

/// One part of a rule. Where a comparison fails, the rule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Load(Meta, u32),
    Store(Meta, u32),
    Bytes {
        base: Base,
        at: u32,
        length: u32,
        to: u32,
    },
    Track(Connection, u32),
    And {
        register: u32,
        mask: [u8; 4],
    },
    Equal(u32, Vec<u8>),
    Differs(u32, Vec<u8>),
    In {
        set: &'static str,
        register: u32,
    },
    /// What a map has for the register's value; where it has nothing, the rule ends.
    Find {
        map: &'static str,
        register: u32,
    },
    Count,
    Accept,
    Drop,
    Masquerade,
}

impl Expression {
    /// Adds it to a rule's list.
    pub(super) fn put(&self, list: &mut Message) {
        // NFTA_LIST_ELEM with NFTA_EXPR_NAME and NFTA_EXPR_DATA.
        list.nest(1, |element| {
            element.put_text(1, self.name());
            element.nest(2, |data| self.put_data(data));
        });
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Load(..) | Self::Store(..) => "meta",
            Self::Bytes { .. } => "payload",
            Self::Track(..) => "ct",
            Self::And { .. } => "bitwise",
            Self::Equal(..) | Self::Differs(..) => "cmp",
            Self::In { .. } | Self::Find { .. } => "lookup",
            Self::Count => "counter",
            Self::Accept | Self::Drop => "immediate",
            Self::Masquerade => "masq",
        }
    }

    fn put_data(&self, data: &mut Message) {
        // The numbers are those of the expression's own attributes, in the order of the kernel's header.
        match self {
            Self::Load(what, to) => {
                data.put_be32(1, *to);
                data.put_be32(2, *what as u32);
            }
            Self::Store(what, from) => {
                data.put_be32(2, *what as u32);
                data.put_be32(3, *from);
            }
            Self::Bytes { base, at, length, to } => {
                for (kind, value) in [(1, *to), (2, *base as u32), (3, *at), (4, *length)] {
                    data.put_be32(kind, value);
                }
            }
            Self::Track(what, to) => {
                data.put_be32(1, *to);
                data.put_be32(2, *what as u32);
            }
            Self::And { register, mask } => {
                for (kind, value) in [(1, *register), (2, *register), (3, 4)] {
                    data.put_be32(kind, value);
                }
                data.nest(4, |mask_data| mask_data.put(1, mask));
                data.nest(5, |xor| xor.put(1, &[0; 4]));
            }
            Self::Equal(register, value) => compare(data, *register, 0, value),
            Self::Differs(register, value) => compare(data, *register, 1, value),
            Self::In { set, register } => {
                data.put_text(1, set);
                data.put_be32(2, *register);
            }
            Self::Find { map, register } => {
                data.put_text(1, map);
                data.put_be32(2, *register);
                data.put_be32(3, *register);
            }
            Self::Accept => verdict(data, 1),
            Self::Drop => verdict(data, 0),
            Self::Count | Self::Masquerade => {}
        }
    }
}

fn compare(data: &mut Message, register: u32, how: u32, value: &[u8]) {
    data.put_be32(1, register);
    data.put_be32(2, how);
    data.nest(3, |wanted| wanted.put(1, value));
}

fn verdict(data: &mut Message, code: u32) {
    data.put_be32(1, VERDICT);
    // NFTA_DATA_VERDICT with NFTA_VERDICT_CODE.
    data.nest(2, |value| value.nest(2, |verdict| verdict.put_be32(1, code)));
}
