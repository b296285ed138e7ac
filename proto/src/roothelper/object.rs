//! Something that root made for a user.

use std::net::Ipv4Addr;

use super::Diskseq;
use super::attached_network::address;
use crate::wire::roothelper as wire;
use crate::{Invalid, VmId};

/// Something of the caller's that root made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The VM that it was made for.
    pub vm: VmId,
    /// The kernel's name of it, or the file's, for people.
    pub name: String,
    /// Seconds since the epoch at which it was made; 0 where that is not known.
    pub since: i64,
    /// What it is.
    pub kind: ObjectKind,
}

/// What an object is, and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A dm device.
    Snapshot {
        /// Which disk it is; none yet where a start was cut.
        diskseq: Option<Diskseq>,
        /// Major and minor number.
        numbers: (u32, u32),
        /// Bytes of the device.
        size_bytes: u64,
        /// Its node is the caller's.
        lent: bool,
        /// Somebody has it open.
        open: bool,
        /// Made and never resumed.
        suspended: bool,
        /// Its removal waits for the last user.
        removal_pending: bool,
        /// The kernel gave it up, with all that was written.
        invalid: bool,
    },
    /// A loop device without its snapshot.
    Loop {
        /// Its number.
        minor: u32,
        /// Somebody has it open.
        open: bool,
    },
    /// A file with what a guest wrote.
    Overlay {
        /// Bytes that count against the quota.
        size_bytes: u64,
        /// Bytes on the host's disk.
        allocated_bytes: u64,
        /// A snapshot stands on it.
        attached: bool,
    },
    /// A tap.
    Tap {
        /// Its index.
        index: u32,
        /// A VMM has it open.
        open: bool,
        /// The guest's address.
        address: Ipv4Addr,
    },
}

impl TryFrom<wire::Object> for Object {
    type Error = Invalid;

    fn try_from(wire: wire::Object) -> Result<Self, Invalid> {
        use wire::object::Kind as Wire;
        let kind = match wire.kind {
            None => return Err(Invalid::new("object", &wire.name, "not one of this version")),
            Some(Wire::Snapshot(it)) => ObjectKind::Snapshot {
                diskseq: (it.diskseq != 0).then(|| Diskseq::new(it.diskseq)).transpose()?,
                numbers: (it.major, it.minor),
                size_bytes: it.size_bytes,
                lent: it.lent,
                open: it.open,
                suspended: it.suspended,
                removal_pending: it.removal_pending,
                invalid: it.invalid,
            },
            Some(Wire::Loop(it)) => ObjectKind::Loop { minor: it.minor, open: it.open },
            Some(Wire::Overlay(it)) => ObjectKind::Overlay {
                size_bytes: it.size_bytes,
                allocated_bytes: it.allocated_bytes,
                attached: it.attached,
            },
            Some(Wire::Tap(it)) => {
                ObjectKind::Tap { index: it.index, open: it.open, address: address(&it.address)? }
            }
        };
        Ok(Self { vm: wire.vm_id.parse()?, name: wire.name, since: wire.since, kind })
    }
}

impl From<Object> for wire::Object {
    fn from(object: Object) -> Self {
        use wire::object::Kind as Wire;
        let kind = match object.kind {
            ObjectKind::Snapshot {
                diskseq,
                numbers: (major, minor),
                size_bytes,
                lent,
                open,
                suspended,
                removal_pending,
                invalid,
            } => Wire::Snapshot(wire::SnapshotObject {
                diskseq: diskseq.map_or(0, Diskseq::get),
                major,
                minor,
                size_bytes,
                lent,
                open,
                suspended,
                removal_pending,
                invalid,
            }),
            ObjectKind::Loop { minor, open } => Wire::Loop(wire::LoopObject { minor, open }),
            ObjectKind::Overlay { size_bytes, allocated_bytes, attached } => {
                Wire::Overlay(wire::OverlayObject { size_bytes, allocated_bytes, attached })
            }
            ObjectKind::Tap { index, open, address } => {
                Wire::Tap(wire::TapObject { index, open, address: address.octets().to_vec() })
            }
        };
        Self {
            vm_id: object.vm.to_string(),
            name: object.name,
            since: object.since,
            kind: Some(kind),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One object of each kind.
    pub(in crate::roothelper) fn one_of_each() -> Vec<Object> {
        let kinds = [
            ObjectKind::Snapshot {
                diskseq: Diskseq::new(7).ok(),
                numbers: (253, 1),
                size_bytes: 512,
                lent: true,
                open: false,
                suspended: true,
                removal_pending: false,
                invalid: true,
            },
            ObjectKind::Loop { minor: 1_000_000, open: true },
            ObjectKind::Overlay { size_bytes: 9, allocated_bytes: 8, attached: true },
            ObjectKind::Tap { index: 3, open: true, address: Ipv4Addr::new(172, 16, 0, 2) },
        ];
        kinds.map(|kind| Object { vm: VmId::random(), name: "x".into(), since: -1, kind }).to_vec()
    }

    #[test]
    fn every_object_survives_the_wire_and_unknown_ones_are_refused() {
        for object in one_of_each() {
            let wire = wire::Object::from(object.clone());
            assert_eq!(Object::try_from(wire.clone()), Ok(object));
            assert!(Object::try_from(wire::Object { kind: None, ..wire.clone() }).is_err());
            assert!(Object::try_from(wire::Object { vm_id: "..".into(), ..wire }).is_err());
        }
    }
}
