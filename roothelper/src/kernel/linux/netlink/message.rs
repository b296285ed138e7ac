//! A message to the kernel: `struct nlmsghdr`, a header of its kind, attributes.

use std::io;

/// Bytes of `struct nlmsghdr`: length, kind, flags, sequence number, sender.
pub(super) const HEADER: usize = 16;
/// Bytes of an attribute's length and kind.
pub(super) const ATTRIBUTE: usize = 4;
/// Says that an attribute has others in it.
const NESTED: u16 = 1 << 15;

/// A message that is being written.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    /// An attribute was longer than its length can say: the message must not be sent.
    too_long: bool,
}

impl Message {
    /// A message of a kind, with the fixed header that its kind has.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        set(&mut bytes, 4, &kind.to_ne_bytes());
        set(&mut bytes, 6, &flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self { bytes, too_long: false };
        message.pad();
        message
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    /// Adds a number in the machine's order, as rtnetlink has it.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Adds a number in the network's order, as netfilter has it.
    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Adds a text with the zero that ends it.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// Adds an attribute that has others in it.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NESTED);
        fill(self);
        self.close(start);
    }

    /// More flags than it was made with.
    pub(super) fn add_flags(&mut self, flags: u16) {
        let old = super::half(&self.bytes, 6).unwrap_or(0);
        set(&mut self.bytes, 6, &(old | flags).to_ne_bytes());
    }

    /// The bytes, with their number and length.
    ///
    /// # Errors
    /// When a part is longer than a message can say.
    pub(crate) fn sealed(&self, sequence: u32) -> io::Result<Vec<u8>> {
        let length = u32::try_from(self.bytes.len()).ok().filter(|_| !self.too_long);
        let Some(length) = length else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut bytes = self.bytes.clone();
        set(&mut bytes, 0, &length.to_ne_bytes());
        set(&mut bytes, 8, &sequence.to_ne_bytes());
        Ok(bytes)
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => set(&mut self.bytes, start, &length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attributes;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_what_the_kernel_expects() {
        let mut message = Message::new(16, 0x401, &[9; 5]);
        message.put(3, b"ab\0");
        message.nest(18, |inner| inner.put_u32(1, 7));
        message.add_flags(4);
        let bytes = message.sealed(42).unwrap();
        let mut expected = Vec::new();
        expected.extend(u32::to_ne_bytes(16 + 8 + 8 + 12));
        expected.extend(u16::to_ne_bytes(16));
        expected.extend(u16::to_ne_bytes(0x405));
        expected.extend(u32::to_ne_bytes(42));
        expected.extend([0; 4]);
        expected.extend([9, 9, 9, 9, 9, 0, 0, 0]);
        expected.extend(u16::to_ne_bytes(7));
        expected.extend(u16::to_ne_bytes(3));
        expected.extend(*b"ab\0\0");
        expected.extend(u16::to_ne_bytes(12));
        expected.extend(u16::to_ne_bytes(18 | NESTED));
        expected.extend(u16::to_ne_bytes(8));
        expected.extend(u16::to_ne_bytes(1));
        expected.extend(u32::to_ne_bytes(7));
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let mut message = Message::new(1, 0, &[]);
        message.put(1, &[0; 65_531]);
        assert!(message.sealed(1).is_ok());
        message.put(1, &[0; 65_532]);
        assert!(message.sealed(1).is_err());
        let mut message = Message::new(1, 0, &[]);
        message.nest(1, |inner| {
            inner.put(1, &[0; 40_000]);
            inner.put(2, &[0; 40_000]);
        });
        assert!(message.sealed(1).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values: Vec<(u16, Vec<u8>)>, fixed: Vec<u8>) {
            let mut message = Message::new(1, 0, &fixed);
            for (kind, value) in &values {
                message.put(kind & 0x3fff, value);
            }
            message.nest(9, |inner| values.iter().for_each(|(kind, value)| inner.put(kind & 0x3fff, value)));
            let bytes = message.sealed(1).unwrap();
            let attributes = Attributes::after(&bytes, HEADER + fixed.len());
            let wanted: Vec<_> = values.iter().map(|(kind, value)| (kind & 0x3fff, &**value)).collect();
            let read: Vec<_> = attributes.collect();
            let (last, first) = read.split_last().unwrap();
            prop_assert_eq!(first, &*wanted);
            prop_assert_eq!(last.0, 9);
            prop_assert_eq!(Attributes::after(last.1, 0).collect::<Vec<_>>(), wanted);
        }
    }
}
