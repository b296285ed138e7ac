//! Whether polkit may put a question to a person.

/// Whether polkit may put its question to the user now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interaction {
    /// What would be a question is a refusal, at once.
    #[default]
    Never,
    /// The user waits in front of a terminal or a desktop.
    Allowed,
}

impl Interaction {
    /// As the wire has it.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

impl From<bool> for Interaction {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Never }
    }
}
