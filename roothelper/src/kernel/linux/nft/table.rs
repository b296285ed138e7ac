//! Tables, chains, rules and elements as messages.

use super::expression::Expression;
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

/// A set of ours, or a map, which has a uid for each of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set {
    pub(super) family: u8,
    pub(super) name: &'static str,
    /// The types of a key's parts, as `nft` numbers them.
    types: u32,
    /// Bytes of a key.
    length: usize,
    map: bool,
}

/// `ipv4_addr`, `ether_addr`, `mark`, `ifname`: each six bits of a set's types.
const ADDRESS: u32 = 7;
const HARDWARE: u32 = 9;
const MARK: u32 = 19;
const INTERFACE: u32 = 41;
const NAME_BYTES: usize = 16;

/// Who may use the bridge: an interface's name, an address of hardware in whole words, an address.
pub(super) const GUESTS: Set = Set {
    family: ruleset::BRIDGE,
    name: "guests",
    types: INTERFACE << 12 | HARDWARE << 6 | ADDRESS,
    length: NAME_BYTES + 8 + 4,
    map: false,
};
/// Whose the VM with an address is.
pub(super) const OWNERS: Set =
    Set { family: ruleset::INET, name: "owners", types: ADDRESS, length: 4, map: true };
/// Every address with its owner.
pub(super) const OWNED: Set =
    Set { family: ruleset::INET, name: "owned", types: ADDRESS << 6 | MARK, length: 8, map: false };
pub(super) const SETS: [Set; 3] = [GUESTS, OWNERS, OWNED];

/// Elements of one message, whose list must not be longer than 64 KiB.
const AT_ONCE: usize = 512;

/// Something in a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    set: Set,
    key: Vec<u8>,
    data: Option<[u8; 4]>,
}

impl Element {
    /// What is in each set for a guest: by this tap, with these addresses, of this owner.
    pub(super) fn of(guest: Guest) -> [Self; 3] {
        let address = guest.address.octets();
        let uid = guest.ownership.uid.get().to_ne_bytes();
        let mut key = Names::of(guest.ownership).tap.into_bytes();
        // A name is of at most 15 bytes.
        key.resize(NAME_BYTES, 0);
        key.extend(guest.hardware());
        key.extend([0; 2]);
        key.extend(address);
        [
            Self { set: GUESTS, key, data: None },
            Self { set: OWNERS, key: address.to_vec(), data: Some(uid) },
            Self { set: OWNED, key: [address, uid].concat(), data: None },
        ]
    }

    pub(super) fn read(set: Set, key: &[u8], data: Option<&[u8]>) -> Option<Self> {
        let data = match data {
            Some(data) => Some(data.try_into().ok()?),
            None => None,
        };
        let right = key.len() == set.length && data.is_some() == set.map;
        right.then(|| Self { set, key: key.to_owned(), data })
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
        for (number, set) in (1..).zip(SETS) {
            if set.family == self.family {
                batch.push(made(set, number));
            }
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

/// A set, empty.
fn made(set: Set, number: u32) -> Message {
    let mut made = message(NEWSET, CREATE, set.family);
    // NFTA_SET_TABLE, _NAME, _FLAGS with NFT_SET_MAP, _KEY_TYPE, _KEY_LEN, _ID; of a map _DATA_TYPE, _DATA_LEN, _USERDATA.
    made.put_text(1, NAME);
    made.put_text(2, set.name);
    let flags = if set.map { 8 } else { 0 };
    for (kind, value) in [(3, flags), (4, set.types), (5, set.length as u32), (10, number)] {
        made.put_be32(kind, value);
    }
    if set.map {
        made.put_be32(6, MARK);
        made.put_be32(7, 4);
        // For nft: NFTNL_UDATA_SET_DATABYTEORDER, its length, BYTEORDER_HOST_ENDIAN.
        let [a, b, c, d] = 1_u32.to_ne_bytes();
        made.put(13, &[1, 4, a, b, c, d]);
    }
    made
}

/// Adds or removes elements, which come in the order of their sets.
pub(super) fn put_elements<'a>(
    batch: &mut Vec<Message>,
    kind: u16,
    flags: u16,
    elements: impl Iterator<Item = &'a Element>,
) {
    let elements: Vec<_> = elements.collect();
    for of_set in elements.chunk_by(|one, other| one.set == other.set) {
        for some in of_set.chunks(AT_ONCE) {
            let Some(Element { set, .. }) = some.first() else { continue };
            let mut change = message(kind, flags, set.family);
            // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS: NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY and _DATA, NFTA_DATA_VALUE.
            change.put_text(1, NAME);
            change.put_text(2, set.name);
            change.nest(3, |list| {
                for Element { key, data, .. } in some {
                    list.nest(1, |element| {
                        element.nest(1, |value| value.put(1, key));
                        if let Some(data) = data {
                            element.nest(2, |value| value.put(1, data));
                        }
                    });
                }
            });
            batch.push(change);
        }
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
        let elements = Element::of(Guest { ownership, address: [172, 16, 0, 9].into() });
        let [Element { key, .. }, owner, owned] = &elements;
        assert_eq!(&key[..15], Names::of(ownership).tap.as_bytes());
        assert_eq!(key[15..], [0, 2, 0x62, 172, 16, 0, 9, 0, 0, 172, 16, 0, 9]);
        let uid = 1000_u32.to_ne_bytes();
        assert_eq!((&owner.key[..], owner.data), (&[172, 16, 0, 9][..], Some(uid)));
        assert_eq!(owned.key, [[172, 16, 0, 9], uid].concat());
        for (set, element) in SETS.into_iter().zip(&elements) {
            let Element { key, data, .. } = element;
            let data = data.as_ref().map(<[u8; 4]>::as_slice);
            assert_eq!(key.len(), set.length);
            assert_eq!(Element::read(set, key, data).as_ref(), Some(element));
            assert_eq!(Element::read(set, &key[1..], data), None);
            assert_eq!(Element::read(set, key, Some(&[1])), None);
        }
        assert_eq!(Element::read(OWNERS, &owner.key, None), None);
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
