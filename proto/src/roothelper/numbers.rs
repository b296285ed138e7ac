//! Enums that are numbers on the wire: one list of variants for both directions.

/// Converts between an enum of ours and the wire's of the same variants. The wire's
/// `Unspecified`, and every number that this version does not know, is none of ours.
macro_rules! numbers {
    ($name:ident, $noun:literal; $($variant:ident),+ $(,)?) => {
        $crate::roothelper::numbers::numbers! { $name = $name, $noun; $($variant),+ }
    };
    ($name:ident = $wire:ident, $noun:literal; $($variant:ident),+ $(,)?) => {
        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Checks a number of the wire.
            ///
            /// # Errors
            /// When this version does not know it.
            pub fn from_wire(number: i32) -> Result<Self, $crate::Invalid> {
                match $crate::wire::roothelper::$wire::try_from(number) {
                    $(Ok($crate::wire::roothelper::$wire::$variant) => Ok(Self::$variant),)+
                    _ => Err($crate::Invalid::new(
                        $noun,
                        &number.to_string(),
                        "not one of this version",
                    )),
                }
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => $crate::wire::roothelper::$wire::$variant as i32,)+
                }
            }
        }
    };
}
pub(crate) use numbers;

#[cfg(test)]
mod tests {
    use crate::roothelper::{Answer, Change, FacilityKind};

    macro_rules! survives {
        ($($name:ident),+) => {$(
            for ours in $name::ALL.iter().copied() {
                assert_eq!($name::from_wire(ours.to_wire()), Ok(ours));
            }
            for none in [0, -1, 99, i32::MIN, i32::MAX] {
                assert!($name::from_wire(none).is_err(), "{none}");
            }
        )+};
    }

    #[test]
    fn every_value_survives_and_unknown_numbers_are_refused() {
        survives!(Answer, Change, FacilityKind);
    }
}
