//! The name of a VM, which is also its host name.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// A name that matches `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmName(String);

impl VmName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True when `text` is a DNS label in lower case.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl FromStr for VmName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                "VM name",
                text,
                "use 1 to 63 of a-z, 0-9 and -, not beginning or ending with -",
            ))
        }
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_rule() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "web", "web-1", "a--b", longest.as_str()] {
            assert_eq!(good.parse::<VmName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "-",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "ä",
            "a\n",
            "../x",
            "a b",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<VmName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_accepted_exactly_when_the_expression_matches(text in "[a-c0-1A_.-]{0,66}") {
            let bytes = text.as_bytes();
            let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let expected = !bytes.is_empty()
                && bytes.len() <= 63
                && edge(bytes[0])
                && edge(bytes[bytes.len() - 1])
                && bytes.iter().all(|&b| edge(b) || b == b'-');
            prop_assert_eq!(text.parse::<VmName>().is_ok(), expected);
        }
    }
}
