//! Permission bits of a file inside a guest.

use std::fmt;

use crate::Invalid;

/// The twelve permission bits, without the file's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(u16);

impl FileMode {
    /// Checks that only permission bits are set.
    ///
    /// # Errors
    /// When a bit above 0o7777 is set: the type of a file follows from the operation, never from the caller.
    pub fn new(bits: u32) -> Result<Self, Invalid> {
        u16::try_from(bits)
            .ok()
            .filter(|bits| *bits <= 0o7777)
            .map(Self)
            .ok_or_else(|| Invalid::new("file mode", &format!("{bits:#o}"), "use at most 07777"))
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permission_bits_are_taken() {
        assert_eq!(FileMode::new(0o4755).unwrap().to_string(), "4755");
        assert_eq!(FileMode::new(0o644).unwrap().to_string(), "0644");
        assert!(FileMode::new(0o100_644).is_err());
        assert!(FileMode::new(u32::MAX).is_err());
    }
}
