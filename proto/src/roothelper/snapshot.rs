//! A VM's root filesystem as a block device: attached, lent, detached, discarded.

use super::{Change, DeviceHandle, Diskseq, Interaction};
use crate::wire::roothelper as wire;
use crate::{Invalid, VmId};

/// Asks for a VM's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachSnapshot {
    /// The VM.
    pub vm: VmId,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
    /// Make the overlay file when there is none; otherwise a missing one is a refusal.
    pub create_overlay: bool,
    /// Bytes that must be free for it on the host's disk now.
    pub free_bytes: u64,
}

/// A snapshot that is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name in later calls.
    pub device: DeviceHandle,
    /// [`Change::None`] or [`Change::Created`].
    pub change: Change,
    /// The same about its overlay file.
    pub overlay: Change,
    /// Bytes of the device.
    pub size_bytes: u64,
}

/// Asks for the device's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LendDevice {
    /// Which device.
    pub device: DeviceHandle,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

/// A device whose node is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LentDevice {
    /// [`Change::None`] or [`Change::Lent`].
    pub change: Change,
    /// Major and minor number of the node, to be compared after opening `/dev/dm-MINOR`.
    pub numbers: (u32, u32),
}

/// Asks to take a snapshot away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetachSnapshot {
    /// The VM.
    pub vm: VmId,
    /// Which of its devices; whichever is attached when not given.
    pub diskseq: Option<Diskseq>,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

/// What became of an overlay file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded {
    /// [`Change::None`] or [`Change::Removed`].
    pub change: Change,
    /// Bytes of the host's disk that it took.
    pub freed_bytes: u64,
}

impl TryFrom<wire::AttachSnapshotRequest> for AttachSnapshot {
    type Error = Invalid;

    fn try_from(wire: wire::AttachSnapshotRequest) -> Result<Self, Invalid> {
        Ok(Self {
            vm: wire.vm_id.parse()?,
            interaction: wire.allow_interaction.into(),
            create_overlay: wire.create_overlay,
            free_bytes: wire.free_bytes,
        })
    }
}

impl From<AttachSnapshot> for wire::AttachSnapshotRequest {
    fn from(request: AttachSnapshot) -> Self {
        Self {
            vm_id: request.vm.to_string(),
            allow_interaction: request.interaction.is_allowed(),
            create_overlay: request.create_overlay,
            free_bytes: request.free_bytes,
        }
    }
}

impl TryFrom<wire::AttachSnapshotResponse> for Snapshot {
    type Error = Invalid;

    fn try_from(wire: wire::AttachSnapshotResponse) -> Result<Self, Invalid> {
        const MADE: [Change; 2] = [Change::None, Change::Created];
        Ok(Self {
            device: wire.device.try_into()?,
            change: Change::among(wire.change, &MADE)?,
            overlay: Change::among(wire.overlay, &MADE)?,
            size_bytes: wire.size_bytes,
        })
    }
}

impl From<Snapshot> for wire::AttachSnapshotResponse {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            device: Some(snapshot.device.into()),
            change: snapshot.change.to_wire(),
            overlay: snapshot.overlay.to_wire(),
            size_bytes: snapshot.size_bytes,
        }
    }
}

impl TryFrom<wire::LendDeviceRequest> for LendDevice {
    type Error = Invalid;

    fn try_from(wire: wire::LendDeviceRequest) -> Result<Self, Invalid> {
        Ok(Self { device: wire.device.try_into()?, interaction: wire.allow_interaction.into() })
    }
}

impl From<LendDevice> for wire::LendDeviceRequest {
    fn from(request: LendDevice) -> Self {
        Self {
            device: Some(request.device.into()),
            allow_interaction: request.interaction.is_allowed(),
        }
    }
}

impl TryFrom<wire::LendDeviceResponse> for LentDevice {
    type Error = Invalid;

    fn try_from(wire: wire::LendDeviceResponse) -> Result<Self, Invalid> {
        Ok(Self {
            change: Change::among(wire.change, &[Change::None, Change::Lent])?,
            numbers: (wire.major, wire.minor),
        })
    }
}

impl From<LentDevice> for wire::LendDeviceResponse {
    fn from(device: LentDevice) -> Self {
        let (major, minor) = device.numbers;
        Self { change: device.change.to_wire(), major, minor }
    }
}

impl TryFrom<wire::DetachSnapshotRequest> for DetachSnapshot {
    type Error = Invalid;

    fn try_from(wire: wire::DetachSnapshotRequest) -> Result<Self, Invalid> {
        Ok(Self {
            vm: wire.vm_id.parse()?,
            diskseq: wire.diskseq.map(Diskseq::new).transpose()?,
            interaction: wire.allow_interaction.into(),
        })
    }
}

impl From<DetachSnapshot> for wire::DetachSnapshotRequest {
    fn from(request: DetachSnapshot) -> Self {
        Self {
            vm_id: request.vm.to_string(),
            allow_interaction: request.interaction.is_allowed(),
            diskseq: request.diskseq.map(Diskseq::get),
        }
    }
}

impl TryFrom<wire::DiscardOverlayResponse> for Discarded {
    type Error = Invalid;

    fn try_from(wire: wire::DiscardOverlayResponse) -> Result<Self, Invalid> {
        Ok(Self {
            change: Change::among(wire.change, &[Change::None, Change::Removed])?,
            freed_bytes: wire.freed_bytes,
        })
    }
}

impl From<Discarded> for wire::DiscardOverlayResponse {
    fn from(discarded: Discarded) -> Self {
        Self { change: discarded.change.to_wire(), freed_bytes: discarded.freed_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceHandle {
        DeviceHandle { vm: VmId::random(), diskseq: Diskseq::new(9).unwrap() }
    }

    #[test]
    fn requests_survive_the_wire() {
        let vm = VmId::random();
        for interaction in [Interaction::Never, Interaction::Allowed] {
            let attach = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 5 };
            assert_eq!(wire::AttachSnapshotRequest::from(attach).try_into(), Ok(attach));
            let lend = LendDevice { device: device(), interaction };
            assert_eq!(wire::LendDeviceRequest::from(lend).try_into(), Ok(lend));
            for diskseq in [None, Diskseq::new(3).ok()] {
                let detach = DetachSnapshot { vm, diskseq, interaction };
                assert_eq!(wire::DetachSnapshotRequest::from(detach).try_into(), Ok(detach));
            }
        }
        let stale = wire::DetachSnapshotRequest {
            vm_id: vm.to_string(),
            diskseq: Some(0),
            allow_interaction: false,
        };
        assert!(DetachSnapshot::try_from(stale).is_err());
    }

    #[test]
    fn answers_survive_the_wire_and_others_are_refused() {
        let snapshot = Snapshot {
            device: device(),
            change: Change::Created,
            overlay: Change::None,
            size_bytes: 1 << 30,
        };
        let wire = wire::AttachSnapshotResponse::from(snapshot);
        assert_eq!(wire.clone().try_into(), Ok(snapshot));
        let odd = wire::AttachSnapshotResponse { change: Change::Lent.to_wire(), ..wire };
        assert!(Snapshot::try_from(odd).is_err());
        let lent = LentDevice { change: Change::Lent, numbers: (253, 4) };
        assert_eq!(wire::LendDeviceResponse::from(lent).try_into(), Ok(lent));
        let discarded = Discarded { change: Change::Removed, freed_bytes: 4096 };
        assert_eq!(wire::DiscardOverlayResponse::from(discarded).try_into(), Ok(discarded));
        assert!(Discarded::try_from(wire::DiscardOverlayResponse::default()).is_err());
    }
}
