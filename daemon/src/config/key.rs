//! The keys there are, a row each: what is legal, how it is taken, how it is shown.

use std::fmt::Display;
use std::str::FromStr;

use banger_proto::{Invalid, Lifetime, Origin, Seconds, VmmChoice};

use super::defaults;
use super::settings::{Place, Set, Settings};
use crate::vmm::Accelerator;

/// One key of `config.toml`.
pub(super) struct Key {
    /// The table that it stands in, and its name there.
    pub(super) name: (&'static str, &'static str),
    /// What it may be, as the end of "must be ...".
    pub(super) legal: &'static str,
    /// Puts it into the settings.
    pub(super) take: fn(&mut Settings, Given<'_>, Place) -> Result<(), Wrong>,
    /// What the files say, as it would be typed.
    pub(super) look: fn(&Settings) -> Option<(String, &Place)>,
    /// What counts otherwise: a value as it would be typed, a note for people, and whose
    /// choice it is.
    pub(super) otherwise: fn() -> (Option<String>, String, Origin),
}

/// A value as it stands in a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// A string.
    Text(&'a str),
    /// A whole number, in decimal.
    Number(&'a str),
    /// Something that no key is, by its kind.
    Other,
}

/// Why a value is not taken.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is of another kind.
    Kind,
    /// It breaks a rule of its kind.
    Rule(&'static str),
}

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Self {
        Self::Rule(invalid.rule)
    }
}

fn parsed<T: FromStr<Err = Invalid>>(text: &str, place: Place) -> Result<Option<Set<T>>, Wrong> {
    Ok(Some(Set { value: text.parse()?, place }))
}

/// A number and nothing else.
fn number<T: FromStr<Err = Invalid>>(
    given: Given<'_>,
    place: Place,
) -> Result<Option<Set<T>>, Wrong> {
    match given {
        Given::Number(text) => parsed(text, place),
        _ => Err(Wrong::Kind),
    }
}

/// A string and nothing else.
fn text<T: FromStr<Err = Invalid>>(
    given: Given<'_>,
    place: Place,
) -> Result<Option<Set<T>>, Wrong> {
    match given {
        Given::Text(text) => parsed(text, place),
        _ => Err(Wrong::Kind),
    }
}

/// A number with a unit in a string, or a bare number.
fn measure<T: FromStr<Err = Invalid>>(
    given: Given<'_>,
    place: Place,
) -> Result<Option<Set<T>>, Wrong> {
    match given {
        Given::Text(text) | Given::Number(text) => parsed(text, place),
        Given::Other => Err(Wrong::Kind),
    }
}

fn shown<T>(set: Option<&Set<T>>, typed: impl Fn(&T) -> String) -> Option<(String, &Place)> {
    set.map(|set| (typed(&set.value), &set.place))
}

fn computed(value: impl Display, note: &str) -> (Option<String>, String, Origin) {
    (Some(value.to_string()), note.to_owned(), Origin::Computed)
}

const NEVER: &str = "never";
const SIZE: &str = "a size such as \"2G\" or \"512M\"";
const TIME: &str = "a time such as \"90s\" or \"5m\"";

/// By table, in the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: ("vm", "image"),
        legal: "the name of an image, in quotes",
        take: |settings, given, place| text(given, place).map(|set| settings.image = set),
        look: |settings| shown(settings.image.as_ref(), ToString::to_string),
        otherwise: || (None, "the only image there is".to_owned(), Origin::Default),
    },
    Key {
        name: ("vm", "cpus"),
        legal: "a whole number from 1 to 64",
        take: |settings, given, place| number(given, place).map(|set| settings.cpus = set),
        look: |settings| shown(settings.cpus.as_ref(), ToString::to_string),
        otherwise: || computed(defaults::cpus(), "2 where the host has 2"),
    },
    Key {
        name: ("vm", "memory"),
        legal: SIZE,
        take: |settings, given, place| measure(given, place).map(|set| settings.memory = set),
        look: |settings| shown(settings.memory.as_ref(), |size| size.typed()),
        otherwise: || {
            computed(defaults::memory().typed(), "1G, at most a quarter of the host's memory")
        },
    },
    Key {
        name: ("vm", "disk"),
        legal: SIZE,
        take: |settings, given, place| measure(given, place).map(|set| settings.disk = set),
        look: |settings| shown(settings.disk.as_ref(), |size| size.typed()),
        otherwise: || (Some(defaults::DISK.typed()), String::new(), Origin::Default),
    },
    Key {
        name: ("vm", "ttl"),
        legal: "a time such as \"2h\", or \"never\"",
        take: |settings, given, place| measure(given, place).map(|set| settings.ttl = set),
        look: |settings| {
            shown(settings.ttl.as_ref(), |ttl| match ttl {
                Lifetime::Unlimited => NEVER.to_owned(),
                Lifetime::For(time) => time.to_string(),
            })
        },
        otherwise: || (Some(NEVER.to_owned()), String::new(), Origin::Default),
    },
    Key {
        name: ("vm", "vmm"),
        legal: "\"auto\", \"qemu\" or \"firecracker\"",
        take: |settings, given, place| text(given, place).map(|set| settings.vmm = set),
        look: |settings| shown(settings.vmm.as_ref(), ToString::to_string),
        otherwise: || (Some(VmmChoice::Auto.to_string()), String::new(), Origin::Default),
    },
    Key {
        name: ("timeouts", "boot"),
        legal: TIME,
        take: |settings, given, place| {
            let set: Option<Set<Seconds>> = measure(given, place)?;
            // No guest could be started any more.
            if set.as_ref().is_some_and(|set| set.value.get() == 0) {
                return Err(Wrong::Rule("use at least 1s"));
            }
            settings.boot = set;
            Ok(())
        },
        look: |settings| shown(settings.boot.as_ref(), ToString::to_string),
        otherwise: || by_accelerator(defaults::boot),
    },
    Key {
        name: ("timeouts", "stop"),
        legal: TIME,
        take: |settings, given, place| measure(given, place).map(|set| settings.stop = set),
        look: |settings| shown(settings.stop.as_ref(), ToString::to_string),
        otherwise: || by_accelerator(defaults::stop),
    },
];

fn by_accelerator(time: fn(Accelerator) -> Seconds) -> (Option<String>, String, Origin) {
    let (kvm, tcg) = (time(Accelerator::Kvm), time(Accelerator::Tcg));
    (None, format!("{kvm} with KVM, {tcg} without"), Origin::Default)
}

impl Key {
    /// As in `vm.memory`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.name.0, self.name.1)
    }
}

/// Whether a table of this name holds keys.
pub(super) fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.0 == name)
}

/// The key of this name.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == (table, name))
}
