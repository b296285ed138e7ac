//! The messages of a datagram from the kernel.

use std::io;

use super::message::HEADER;
use super::{Attributes, half, word};

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// What is behind `struct nlmsghdr`.
    pub(super) body: &'a [u8],
}

/// The messages, from the next one on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames<'a>(&'a [u8]);

/// `NLMSG_ERROR`, `NLMSG_DONE`: how an answer ends.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
/// `NLM_F_CAPPED`: an error's body has no more than the header of what was asked.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes are behind it.
const TOLD: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`: what is wrong, in words.
const WORDS: u16 = 1;

impl<'a> Frames<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = io::Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut self.0);
        let frame = || {
            let length = usize::try_from(word(all, 0)?).ok()?;
            let frame = Frame {
                kind: half(all, 4)?,
                flags: half(all, 6)?,
                sequence: word(all, 8)?,
                body: all.get(HEADER..length)?,
            };
            Some((frame, all.get(length.checked_next_multiple_of(4)?..).unwrap_or_default()))
        };
        match frame() {
            Some((frame, rest)) => {
                self.0 = rest;
                Some(Ok(frame))
            }
            None => Some(Err(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl<'a> Frame<'a> {
    /// The error number that an answer ends with: 0 when all is well.
    pub(super) fn errno(&self) -> Option<i32> {
        // An end without a number is a good one; the number is negative.
        if self.kind == DONE && self.body.is_empty() {
            return Some(0);
        }
        (word(self.body, 0)? as i32).checked_neg().filter(|errno| *errno >= 0)
    }

    /// What the kernel says of an error in words; nothing when it says none.
    pub(super) fn words(&self) -> &'a str {
        if self.kind != ERROR || self.flags & TOLD == 0 {
            return "";
        }
        // Behind the number is what was asked: its header, or all of it.
        let asked = if self.flags & CAPPED == 0 {
            word(self.body, 4).and_then(|length| usize::try_from(length).ok())
        } else {
            Some(HEADER)
        };
        let behind = asked.and_then(|asked| asked.checked_next_multiple_of(4)?.checked_add(4));
        let told = behind.map(|behind| Attributes::after(self.body, behind));
        told.and_then(|told| told.text(WORDS)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;
    use proptest::prelude::*;

    fn error(errno: i32, flags: u16, asked: usize, words: Option<&str>) -> Vec<u8> {
        let mut fixed = (-errno).to_ne_bytes().to_vec();
        fixed.extend((asked as u32).to_ne_bytes());
        fixed.resize(4 + if flags & CAPPED == 0 { asked } else { HEADER }, 0);
        let mut message = Message::new(ERROR, flags, &fixed);
        if let Some(words) = words {
            message.put_text(7, "other");
            message.put_text(WORDS, words);
        }
        message.sealed(5).unwrap()
    }

    #[test]
    fn an_error_is_told_in_words_where_the_kernel_has_some() {
        for (flags, asked) in [(CAPPED | TOLD, 300), (TOLD, 300), (TOLD, 17)] {
            let bytes = error(17, flags, asked, Some("it is there"));
            let frames: Vec<_> = Frames::of(&bytes).collect::<Result<_, _>>().unwrap();
            let [frame] = &*frames else { panic!("{frames:?}") };
            assert_eq!((frame.kind, frame.sequence), (ERROR, 5));
            assert_eq!((frame.errno(), frame.words()), (Some(17), "it is there"));
        }
        let bytes = error(0, CAPPED, 20, None);
        let frame = Frames::of(&bytes).next().unwrap().unwrap();
        assert_eq!((frame.errno(), frame.words()), (Some(0), ""));
    }

    #[test]
    fn a_datagram_that_is_cut_is_an_error() {
        let bytes = error(1, 0, 20, None);
        for length in 1..bytes.len() {
            let read: Vec<_> = Frames::of(&bytes[..length]).collect();
            assert!(matches!(&*read, [Err(_)]), "{length}: {read:?}");
        }
        let two = [&*bytes, &bytes].concat();
        assert_eq!(Frames::of(&two).filter(Result::is_ok).count(), 2);
        assert_eq!(Frames::of(&two[..two.len() - 1]).filter(Result::is_ok).count(), 1);
    }

    proptest! {
        #[test]
        fn garbage_is_read_to_an_end(bytes: Vec<u8>) {
            for frame in Frames::of(&bytes).flatten() {
                let _whatever = (frame.errno(), frame.words());
            }
            prop_assert!(Frames::of(&bytes).count() <= bytes.len() / HEADER + 1);
        }

        #[test]
        fn garbage_behind_a_good_length_is_read_to_an_end(
            body: Vec<u8>, kind in 0u16..5, flags: u16
        ) {
            let bytes = Message::new(kind, flags, &body).sealed(1).unwrap();
            let frame = Frames::of(&bytes).next().unwrap().unwrap();
            let _whatever = (frame.errno(), frame.words());
        }
    }
}
