//! Tables, chains, rules and elements as messages.

use super::expression::Expression;
use super::ruleset::GUESTS;
use super::{
    APPEND, CREATE, DELTABLE, NAME, NEWCHAIN, NEWRULE, NEWSET, NEWTABLE, message, ruleset,
};
use crate::Names;
use crate::kernel::linux::netlink::Message;
use crate::kernel::network::Guest;

/// A table of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) family: u8,
    /// What it is marked with: who made it, and for which rules.
    pub(super) mark: String,
    pub(super) chains: Vec<Chain>,
}

/// A place in a packet's way, and what is decided there. What no rule decides goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    /// The place's number in its family.
    pub(super) hook: u32,
    pub(super) priority: i32,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// What it is for: also how it is known again.
    pub(super) comment: &'static str,
    pub(super) expressions: Vec<Expression>,
}

/// Bytes of an element: an interface's name, an address of hardware in whole words, an address.
const NAME_BYTES: usize = 16;
const KEY: usize = NAME_BYTES + 8 + 4;
/// The types `ifname`, `ether_addr` and `ipv4_addr` one after the other, as `nft` numbers them.
const KEY_TYPE: u32 = 41 << 12 | 9 << 6 | 7;
/// Elements of one message, whose list must not be longer than 64 KiB.
const AT_ONCE: usize = 512;

/// A guest who may use the bridge: by this tap, with these addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element([u8; KEY]);

impl Element {
    pub(super) fn of(guest: Guest) -> Self {
        let mut key = [0; KEY];
        let name = Names::of(guest.ownership).tap;
        // A name is of at most 15 bytes.
        let name = name.bytes().take(NAME_BYTES - 1).enumerate();
        let hardware = guest.hardware().into_iter().enumerate();
        let address = guest.address.octets().into_iter().enumerate();
        let hardware = hardware.map(|(at, byte)| (NAME_BYTES + at, byte));
        let address = address.map(|(at, byte)| (NAME_BYTES + 8 + at, byte));
        for (at, byte) in name.chain(hardware).chain(address) {
            if let Some(to) = key.get_mut(at) {
                *to = byte;
            }
        }
        Self(key)
    }

    pub(super) fn read(key: &[u8]) -> Option<Self> {
        Some(Self(key.try_into().ok()?))
    }
}

/// A comment, as `nft` writes and shows it: kind 0, its length, the text and a zero.
fn put_comment(message: &mut Message, kind: u16, text: &str) {
    let mut value = vec![0, u8::try_from(text.len() + 1).unwrap_or(0)];
    value.extend_from_slice(text.as_bytes());
    value.push(0);
    message.put(kind, &value);
}

/// The comment in what `nft` keeps beside a table or a rule.
pub(super) fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(str::from_utf8(value.strip_suffix(&[0])?).ok()?.to_owned());
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

impl Table {
    /// Every rule with its chain's name, in the order in which the kernel lists them.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&'static str, &Rule)> {
        self.chains.iter().flat_map(|chain| chain.rules.iter().map(|rule| (chain.name, rule)))
    }

    fn marked(&self) -> Message {
        let mut table = message(NEWTABLE, CREATE, self.family);
        // NFTA_TABLE_NAME, NFTA_TABLE_USERDATA.
        table.put_text(1, NAME);
        put_comment(&mut table, 6, &self.mark);
        table
    }

    /// Removes it, whether or not it is there.
    pub(super) fn remove(&self, batch: &mut Vec<Message>) {
        let mut table = message(NEWTABLE, CREATE, self.family);
        table.put_text(1, NAME);
        batch.push(table);
        let mut table = message(DELTABLE, 0, self.family);
        table.put_text(1, NAME);
        batch.push(table);
    }

    /// Makes it.
    pub(super) fn make(&self, batch: &mut Vec<Message>) {
        batch.push(self.marked());
        if self.family == ruleset::BRIDGE {
            batch.push(guests());
        }
        for chain in &self.chains {
            let mut made = message(NEWCHAIN, CREATE, self.family);
            // NFTA_CHAIN_TABLE, _NAME, _HOOK with its number and priority, _POLICY accept, _TYPE.
            made.put_text(1, NAME);
            made.put_text(3, chain.name);
            made.nest(4, |hook| {
                hook.put_be32(1, chain.hook);
                hook.put(2, &chain.priority.to_be_bytes());
            });
            made.put_be32(5, 1);
            made.put_text(7, chain.kind);
            batch.push(made);
        }
        for (chain, rule) in self.rules() {
            let mut made = message(NEWRULE, CREATE | APPEND, self.family);
            // NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS, _USERDATA.
            made.put_text(1, NAME);
            made.put_text(2, chain);
            made.nest(4, |list| rule.expressions.iter().for_each(|part| part.put(list)));
            put_comment(&mut made, 7, rule.comment);
            batch.push(made);
        }
    }
}

/// The set of those who may use the bridge.
fn guests() -> Message {
    let mut set = message(NEWSET, CREATE, ruleset::BRIDGE);
    // NFTA_SET_TABLE, _NAME, _FLAGS, _KEY_TYPE, _KEY_LEN, _ID.
    set.put_text(1, NAME);
    set.put_text(2, GUESTS);
    for (kind, value) in [(3, 0), (4, KEY_TYPE), (5, KEY as u32), (10, 1)] {
        set.put_be32(kind, value);
    }
    set
}

/// Adds or removes elements.
pub(super) fn put_elements<'a>(
    batch: &mut Vec<Message>,
    kind: u16,
    flags: u16,
    elements: impl Iterator<Item = &'a Element>,
) {
    let elements: Vec<_> = elements.collect();
    for some in elements.chunks(AT_ONCE) {
        let mut change = message(kind, flags, ruleset::BRIDGE);
        // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS: NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE.
        change.put_text(1, NAME);
        change.put_text(2, GUESTS);
        change.nest(3, |list| {
            for Element(key) in some {
                list.nest(1, |element| element.nest(1, |data| data.put(1, key)));
            }
        });
        batch.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OwnerUid, Ownership};
    use proptest::prelude::*;

    #[test]
    fn an_element_is_a_name_and_two_addresses_in_whole_words() {
        let vm = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        let ownership = Ownership { uid: OwnerUid::new(1000).unwrap(), vm };
        let Element(key) = Element::of(Guest { ownership, address: [172, 16, 0, 9].into() });
        assert_eq!(&key[..15], Names::of(ownership).tap.as_bytes());
        assert_eq!(key[15..], [0, 2, 0x62, 172, 16, 0, 9, 0, 0, 172, 16, 0, 9]);
        assert_eq!(Element::read(&key), Some(Element(key)));
        assert_eq!(Element::read(&key[1..]), None);
    }

    #[test]
    fn comments_are_read_as_they_are_written() {
        let mut message = Message::new(0, 0, &[]);
        put_comment(&mut message, 7, "what it is for");
        let bytes = message.sealed(1).unwrap();
        assert_eq!(comment(&bytes[20..20 + 17]).as_deref(), Some("what it is for"));
        assert_eq!(comment(&[3, 1, 9, 0, 3, b'a', b'b', 0]).as_deref(), Some("ab"));
        for none in [&[][..], &[0], &[0, 9, 1], &[0, 2, b'a', b'b'], &[0, 2, 255, 0], &[0, 0]] {
            assert_eq!(comment(none), None, "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_has_no_comment_or_one(data: Vec<u8>) {
            let _whatever = comment(&data);
        }
    }
}
