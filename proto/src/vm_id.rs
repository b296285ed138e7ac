//! The identity of a VM: a UUID in one spelling.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Invalid;

/// A UUID that is only ever read and written as 36 lowercase characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(Uuid);

impl VmId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The UUID's sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for VmId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("VM id", text, "use a UUID in its 36 lowercase characters");
        let id = Self(Uuid::try_parse(text).map_err(|_| invalid())?);
        // Uuid reads other spellings too: only the one that it writes is ours.
        if id.to_string() == text { Ok(id) } else { Err(invalid()) }
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn one_spelling_is_accepted_and_written_back() {
        assert_eq!(TEXT.parse::<VmId>().unwrap().to_string(), TEXT);
        assert_eq!(VmId::random().to_string().len(), 36);
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let spellings = [
            String::new(),
            TEXT.to_uppercase(),
            TEXT.replace('-', ""),
            format!("{{{TEXT}}}"),
            format!("urn:uuid:{TEXT}"),
            TEXT[..35].to_owned(),
            format!("{TEXT}0"),
            format!("{TEXT}\0"),
            format!(" {TEXT}"),
            "../x".to_owned(),
            "a".repeat(1 << 20),
        ];
        for text in spellings {
            assert!(text.parse::<VmId>().is_err(), "{:?}", &text[..text.len().min(40)]);
        }
    }
}
