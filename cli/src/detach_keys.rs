//! The keys that let go of a console, found in what is typed.

use std::fmt;
use std::str::FromStr;

/// A sequence of keys, written as `ctrl-]` or `ctrl-p,ctrl-q`; `none` is no sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    text: String,
}

/// A sequence that cannot be typed.
#[derive(Debug, thiserror::Error)]
#[error(
    "\"{0}\" is no key: use a character, or ctrl- and a letter or one of @ [ \\ ] ^ _; several with commas between them"
)]
pub(crate) struct NoKey(String);

impl FromStr for DetachKeys {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let keys = match text {
            "none" => Vec::new(),
            _ => text.split(',').map(key).collect::<Result<_, _>>()?,
        };
        Ok(Self { keys, text: text.to_owned() })
    }
}

fn key(text: &str) -> Result<u8, NoKey> {
    let wrong = || NoKey(text.chars().flat_map(char::escape_default).collect());
    let lower = text.to_ascii_lowercase();
    match (lower.strip_prefix("ctrl-").map(str::as_bytes), text.as_bytes()) {
        (Some(&[letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => {
            Ok(letter & 0x1f)
        }
        (None, &[key @ 0x20..=0x7e]) => Ok(key),
        _ => Err(wrong()),
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = self.text.split(',').map(|key| match key.get(..5) {
            Some(head) if head.eq_ignore_ascii_case("ctrl-") => {
                format!("Ctrl-{}", key.get(5..).unwrap_or_default())
            }
            _ => key.to_owned(),
        });
        formatter.write_str(&keys.next().unwrap_or_default())?;
        keys.try_for_each(|key| write!(formatter, " {key}"))
    }
}

impl DetachKeys {
    /// Whether there is a sequence.
    pub(crate) fn any(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Begins to look for the sequence.
    pub(crate) fn search(self) -> Search {
        Search { keys: self.keys, begun: Vec::new() }
    }
}

/// Looks for the sequence in what is typed, piece by piece.
#[derive(Debug)]
pub(crate) struct Search {
    keys: Vec<u8>,
    /// The begin of the sequence, which may yet become whole.
    begun: Vec<u8>,
}

impl Search {
    /// What of `typed` is for the guest, and whether the sequence was typed; what follows
    /// it is for nobody.
    pub(crate) fn next(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut guests = Vec::with_capacity(typed.len());
        for &key in typed {
            self.begun.push(key);
            while !self.keys.starts_with(&self.begun) {
                guests.push(self.begun.remove(0));
            }
            if self.begun == self.keys {
                return (guests, true);
            }
        }
        (guests, false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(text: &str) -> DetachKeys {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_written_as_others_write_them() {
        assert_eq!(keys("ctrl-]").keys, [0x1d]);
        assert_eq!(keys("ctrl-p,ctrl-Q").keys, [0x10, 0x11]);
        assert_eq!(keys("ctrl-@,~,.").keys, [0, b'~', b'.']);
        assert!(!keys("none").any());
        assert_eq!(keys("ctrl-p,ctrl-q").to_string(), "Ctrl-p Ctrl-q");
        for wrong in ["", ",", "ctrl-", "ctrl-1", "ab", "ctrl-pq", "ä", "a,", "\u{1b}"] {
            assert!(wrong.parse::<DetachKeys>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_only_begins_like_the_sequence_is_the_guests() {
        let mut search = keys("a,a,b").search();
        assert_eq!(search.next(b"xaa"), (b"x".to_vec(), false));
        assert_eq!(search.next(b"a"), (b"a".to_vec(), false));
        assert_eq!(search.next(b"bz"), (Vec::new(), true));
        let mut search = keys("ctrl-p,ctrl-q").search();
        assert_eq!(search.next(b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(search.next(b"ab\x10\x10\x11cd"), (b"ab\x10".to_vec(), true));
        assert_eq!(keys("none").search().next(b"\x1d"), (b"\x1d".to_vec(), false));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_guest_gets_what_comes_before(
            typed in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'c']), 0..30),
            cut in 0_usize..30,
        ) {
            let (first, second) = typed.split_at(cut.min(typed.len()));
            let mut search = keys("a,b,a").search();
            let (mut guests, mut detached) = search.next(first);
            if !detached {
                let (more, end) = search.next(second);
                guests.extend(more);
                detached = end;
            }
            let at = typed.windows(3).position(|three| three == b"aba");
            prop_assert_eq!(detached, at.is_some());
            match at {
                Some(at) => prop_assert_eq!(&guests, &typed[..at]),
                None => prop_assert!(typed.starts_with(&guests) && typed.len() - guests.len() < 3),
            }
        }
    }
}
