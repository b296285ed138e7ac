//! The attributes of a message from the kernel. What is cut or lies about its length ends them.

use super::half;
use super::message::ATTRIBUTE;

/// The two uppermost bits of a kind are flags.
const KIND: u16 = 0x3fff;

/// Attributes, from the next one on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Those of a message's body, behind a fixed header of so many bytes.
    pub(crate) fn after(body: &'a [u8], fixed: usize) -> Self {
        Self(body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }

    /// The last attribute of this kind, which is the one that counts.
    pub(crate) fn find(self, kind: u16) -> Option<&'a [u8]> {
        self.filter(|(found, _)| *found == kind).last().map(|(_, value)| value)
    }

    /// The attributes in one; none, when it is not there.
    pub(crate) fn inside(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }

    /// A number in the machine's order.
    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A number in the network's order.
    pub(crate) fn be32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// A number of one byte.
    pub(crate) fn u8(self, kind: u16) -> Option<u8> {
        let [value] = self.find(kind)? else { return None };
        Some(*value)
    }

    /// A text, without the zero that ends it.
    pub(crate) fn text(self, kind: u16) -> Option<&'a str> {
        let bytes = self.find(kind)?;
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(bytes).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, kind) = (usize::from(half(self.0, 0)?), half(self.0, 2)?);
        let value = self.0.get(ATTRIBUTE..length)?;
        // The last one may lack its padding.
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & KIND, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (value.len() + 4) as u16;
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn numbers_and_texts_are_of_their_length() {
        let mut bytes = attribute(1, &7u32.to_ne_bytes());
        bytes.extend(attribute(2, &7u32.to_be_bytes()));
        bytes.extend(attribute(0xc003, b"name"));
        bytes.extend(attribute(4, b"a\0b\0"));
        let all = Attributes::after(&bytes, 0);
        assert_eq!((all.u32(1), all.be32(2), all.text(3)), (Some(7), Some(7), Some("name")));
        assert_eq!((all.text(4), all.u8(1), all.u32(9)), (Some("a"), None, None));
        assert_eq!(all.inside(9).next(), None);
        let last = attribute(1, &[5]);
        assert_eq!(Attributes::after(&last, 0).u8(1), Some(5));
    }

    #[test]
    fn what_lies_about_its_length_ends_them() {
        for length in [0u16, 1, 3, 9, u16::MAX] {
            let mut bytes = attribute(1, &[0; 4]);
            bytes.splice(..2, length.to_ne_bytes());
            assert_eq!(Attributes::after(&bytes, 0).count(), 0, "{length}");
        }
        assert_eq!(Attributes::after(&[0; 3], 0).count(), 0);
        assert_eq!(Attributes::after(&[0; 3], 400).count(), 0);
    }

    proptest! {
        #[test]
        fn garbage_is_read_to_an_end(bytes: Vec<u8>, fixed in 0usize..40) {
            let all = Attributes::after(&bytes, fixed);
            prop_assert!(all.count() <= bytes.len() / 4);
            for (kind, _) in all {
                let _whatever = (all.u32(kind), all.u8(kind), all.text(kind), all.inside(kind).count());
            }
        }
    }
}
