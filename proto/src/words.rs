//! Enums that are a word in text and a number on the wire: one table for both.

/// Gives an enum its word ([`std::fmt::Display`], [`std::str::FromStr`], `as_str`) and its
/// number of the wire enum of the same variants. The wire's `Unspecified` is never one of ours.
macro_rules! words {
    ($name:ident, $noun:literal, $rule:literal; $($variant:ident => $word:literal),+ $(,)?) => {
        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::Invalid;

            fn from_str(text: &str) -> Result<Self, crate::Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(crate::Invalid::new($noun, text, $rule)),
                }
            }
        }

        impl TryFrom<crate::wire::daemon::$name> for $name {
            type Error = crate::Invalid;

            fn try_from(wire: crate::wire::daemon::$name) -> Result<Self, crate::Invalid> {
                match wire {
                    $(crate::wire::daemon::$name::$variant => Ok(Self::$variant),)+
                    crate::wire::daemon::$name::Unspecified => {
                        Err(crate::Invalid::new($noun, "unspecified", $rule))
                    }
                }
            }
        }

        impl From<$name> for crate::wire::daemon::$name {
            fn from(ours: $name) -> Self {
                match ours {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::{
        Isolation, Network, VmCondition, VmState, VmmChoice, VmmKind, wire::daemon as wire,
    };

    /// There and back, by word and by number; what is none is refused.
    macro_rules! survives {
        ($($name:ident),+) => {$(
            for ours in $name::ALL.iter().copied() {
                assert_eq!(ours.as_str().parse(), Ok(ours));
                assert_eq!($name::try_from(wire::$name::from(ours)), Ok(ours));
            }
            assert!("no such word".parse::<$name>().is_err());
            assert!($name::try_from(wire::$name::Unspecified).is_err());
        )+};
    }

    #[test]
    fn every_value_survives_the_word_and_the_wire() {
        survives!(Isolation, Network, VmCondition, VmState, VmmChoice, VmmKind);
        assert_eq!(format!("{:>8}|", Network::User), "    user|");
        assert_eq!(VmState::ALL.len(), 6);
    }
}
