//! How an unpacked kernel comes to find its disks: decided by what was seen of the image, and pure.

use serde::{Deserialize, Serialize};

use crate::initrd::Made;
use crate::store::OwnInitrd;

/// What an unpacked kernel is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Boots {
    /// Nothing else.
    Alone,
    /// The initial RAM disk that was made for it.
    Made,
    /// The image's own initial RAM disk.
    Own,
    /// It finds no disks, for this reason.
    Not(String),
}

/// What was seen of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The kernel itself has the driver of devices without PCI, by what is written in it.
    pub(super) built_in: bool,
    /// The image's own initial RAM disk has it, by the names in that.
    pub(super) in_own: bool,
    /// What was made, or why nothing was.
    pub(super) made: Result<Made, String>,
}

/// Chooses. Whoever gave an initial RAM disk with the image gets it, when it can find the disks. Else the one
/// that was made is taken: it is small and looks for nothing, while a distribution's runs for seconds. The
/// image's own is left, where none can be made.
pub(super) fn boots(own: OwnInitrd, seen: Seen) -> Boots {
    let finds = seen.built_in || seen.in_own;
    match (own, seen.made) {
        (OwnInitrd::Given, _) if finds => Boots::Own,
        (_, Ok(Made::Written { .. })) => Boots::Made,
        (_, Ok(Made::Unneeded)) => Boots::Alone,
        (OwnInitrd::Found, Err(_)) if finds => Boots::Own,
        // Nothing is known of its modules, and it may need none.
        (OwnInitrd::None, Err(_)) if seen.built_in => Boots::Alone,
        (OwnInitrd::None, Err(why)) => Boots::Not(why),
        (_, Err(why)) => Boots::Not(format!(
            "its initial RAM disk has no virtio_mmio, and none can be made: {why}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Result<Made, String> = Ok(Made::Written { modules: 7, bytes: 300_000 });

    fn seen(built_in: bool, in_own: bool, made: Result<Made, String>) -> Seen {
        Seen { built_in, in_own, made }
    }

    fn none() -> Result<Made, String> {
        Err("there is no /lib/modules/6.1 in it".into())
    }

    #[test]
    fn the_one_that_was_made_is_taken_unless_somebody_gave_one_that_does() {
        for in_own in [false, true] {
            assert_eq!(boots(OwnInitrd::Found, seen(false, in_own, WRITTEN)), Boots::Made);
            assert_eq!(boots(OwnInitrd::None, seen(false, false, WRITTEN)), Boots::Made);
        }
        assert_eq!(boots(OwnInitrd::Given, seen(false, true, WRITTEN)), Boots::Own);
        assert_eq!(boots(OwnInitrd::Given, seen(true, false, Ok(Made::Unneeded))), Boots::Own);
        assert_eq!(boots(OwnInitrd::Given, seen(false, false, WRITTEN)), Boots::Made);
    }

    #[test]
    fn a_kernel_that_has_all_boots_alone() {
        assert_eq!(boots(OwnInitrd::Found, seen(true, true, Ok(Made::Unneeded))), Boots::Alone);
        assert_eq!(boots(OwnInitrd::None, seen(true, false, Ok(Made::Unneeded))), Boots::Alone);
        assert_eq!(boots(OwnInitrd::None, seen(true, false, none())), Boots::Alone);
    }

    #[test]
    fn where_none_can_be_made_the_images_own_does_or_nothing() {
        assert_eq!(boots(OwnInitrd::Found, seen(false, true, none())), Boots::Own);
        assert_eq!(boots(OwnInitrd::Found, seen(true, false, none())), Boots::Own);
        assert_eq!(boots(OwnInitrd::Given, seen(false, true, none())), Boots::Own);
        let why = "there is no /lib/modules/6.1 in it";
        assert_eq!(boots(OwnInitrd::None, seen(false, false, none())), Boots::Not(why.into()));
        for own in [OwnInitrd::Found, OwnInitrd::Given] {
            let Boots::Not(said) = boots(own, seen(false, false, none())) else { panic!() };
            assert!(said.contains("no virtio_mmio") && said.ends_with(why), "{said}");
        }
    }
}
