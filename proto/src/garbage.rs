//! What has no owner any more, and what became of it.

use std::path::PathBuf;

use crate::{Invalid, VmId, VmName, wire::daemon as wire};

/// Something of banger's that has no owner any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// What it is, in a few words: `half-made image`.
    pub kind: String,
    /// Where it is.
    pub place: GarbagePlace,
    /// Bytes that it takes on the host's disk.
    pub bytes: u64,
    /// Seconds since the epoch: when it was last changed, or began to run.
    pub since: i64,
    /// Why it has no owner, or why it is left alone.
    pub reason: String,
    /// What becomes of it.
    pub fate: GarbageFate,
}

/// Where garbage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GarbagePlace {
    /// A file or folder.
    Path(PathBuf),
    /// A process, by its number.
    Process(u32),
    /// Something that the root helper made, by its name.
    Object(String),
}

/// What becomes of garbage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GarbageFate {
    /// It would be removed.
    Removable,
    /// It was removed.
    Removed,
    /// Its removal failed, for this reason.
    Stays(String),
    /// It is not known to be garbage, and nothing removes it.
    LeftAlone,
}

impl GarbageFate {
    /// `removable`, `removed`, `stays` or `left alone`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Removable => "removable",
            Self::Removed => "removed",
            Self::Stays(_) => "stays",
            Self::LeftAlone => "left alone",
        }
    }
}

impl TryFrom<wire::Garbage> for Garbage {
    type Error = Invalid;

    fn try_from(wire: wire::Garbage) -> Result<Self, Invalid> {
        use wire::GarbageFate as Fate;
        let fate = match wire.fate() {
            Fate::Removable => GarbageFate::Removable,
            Fate::Removed => GarbageFate::Removed,
            Fate::Stays => GarbageFate::Stays(wire.failure),
            Fate::LeftAlone => GarbageFate::LeftAlone,
            Fate::Unspecified => {
                return Err(Invalid::new("fate", "unspecified", "not one of this version"));
            }
        };
        let place = match (wire.pid, wire.object) {
            (0, object) if object.is_empty() => GarbagePlace::Path(wire.path.into()),
            (0, object) => GarbagePlace::Object(object),
            (pid, _) => GarbagePlace::Process(pid),
        };
        let (kind, reason) = (wire.kind, wire.reason);
        Ok(Self { kind, place, bytes: wire.bytes, since: wire.since, reason, fate })
    }
}

impl From<Garbage> for wire::Garbage {
    fn from(garbage: Garbage) -> Self {
        use wire::GarbageFate as Fate;
        let (fate, failure) = match garbage.fate {
            GarbageFate::Removable => (Fate::Removable, String::new()),
            GarbageFate::Removed => (Fate::Removed, String::new()),
            GarbageFate::Stays(why) => (Fate::Stays, why),
            GarbageFate::LeftAlone => (Fate::LeftAlone, String::new()),
        };
        let nothing = String::new;
        let (path, pid, object) = match garbage.place {
            GarbagePlace::Path(path) => (path.to_string_lossy().into_owned(), 0, nothing()),
            GarbagePlace::Process(pid) => (nothing(), pid, nothing()),
            GarbagePlace::Object(name) => (nothing(), 0, name),
        };
        let Garbage { kind, bytes, since, reason, .. } = garbage;
        Self { kind, path, pid, bytes, since, reason, fate: fate.into(), failure, object }
    }
}

/// A VM whose record cannot be read: it can only be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenVm {
    /// Its identity, which is the name of its folder.
    pub id: VmId,
    /// Its name, as far as it can be made out.
    pub name: Option<VmName>,
    /// Why its record cannot be read.
    pub reason: String,
    /// Its folder on the host.
    pub directory: PathBuf,
    /// Bytes that its files take on the host.
    pub allocated_bytes: u64,
}

impl BrokenVm {
    /// What to call it by: its name, or its id.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }
}

impl TryFrom<wire::BrokenVm> for BrokenVm {
    type Error = Invalid;

    fn try_from(wire: wire::BrokenVm) -> Result<Self, Invalid> {
        Ok(Self {
            id: wire.id.parse()?,
            name: (!wire.name.is_empty()).then(|| wire.name.parse()).transpose()?,
            reason: wire.reason,
            directory: wire.directory.into(),
            allocated_bytes: wire.allocated_bytes,
        })
    }
}

impl From<BrokenVm> for wire::BrokenVm {
    fn from(vm: BrokenVm) -> Self {
        Self {
            id: vm.id.to_string(),
            name: vm.name.map(|name| name.to_string()).unwrap_or_default(),
            reason: vm.reason,
            directory: vm.directory.to_string_lossy().into_owned(),
            allocated_bytes: vm.allocated_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_survives_the_wire() {
        let garbage = Garbage {
            kind: "half-made image".into(),
            place: GarbagePlace::Path("/a".into()),
            bytes: 1,
            since: 2,
            reason: "its maker has ended".into(),
            fate: GarbageFate::Removable,
        };
        let process = Garbage { place: GarbagePlace::Process(7), ..garbage.clone() };
        let object = GarbagePlace::Object("loop1000000".into());
        let object = Garbage { place: object, ..garbage.clone() };
        let fates = [
            GarbageFate::Removed,
            GarbageFate::Stays("it is busy".into()),
            GarbageFate::LeftAlone,
            GarbageFate::Removable,
        ];
        for garbage in [garbage, process, object] {
            for fate in &fates {
                let garbage = Garbage { fate: fate.clone(), ..garbage.clone() };
                assert_eq!(Garbage::try_from(wire::Garbage::from(garbage.clone())), Ok(garbage));
            }
        }
        assert!(Garbage::try_from(wire::Garbage::default()).is_err());
    }

    #[test]
    fn a_broken_vm_survives_the_wire_with_and_without_a_name() {
        for name in [None, Some("web".parse().unwrap())] {
            let vm = BrokenVm {
                id: VmId::random(),
                name,
                reason: "of a newer version".into(),
                directory: "/d".into(),
                allocated_bytes: 3,
            };
            assert!(!vm.label().is_empty());
            assert_eq!(BrokenVm::try_from(wire::BrokenVm::from(vm.clone())), Ok(vm));
        }
    }
}
