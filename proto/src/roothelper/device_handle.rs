//! The name of an attached device: the very one, and not the next one of the same VM.

use std::num::NonZeroU64;

use crate::wire::roothelper as wire;
use crate::{Invalid, VmId};

/// A disk's sequence number: the kernel counts all disks since boot and repeats none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diskseq(NonZeroU64);

impl Diskseq {
    /// Checks a number.
    ///
    /// # Errors
    /// When it is 0, which the kernel gives to none.
    pub fn new(number: u64) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("disk sequence number", "0", "the first disk has 1");
        NonZeroU64::new(number).map(Self).ok_or_else(invalid)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl std::fmt::Display for Diskseq {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// An attached device. A handle of an earlier one of the same VM is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceHandle {
    /// The VM.
    pub vm: VmId,
    /// Which of its devices.
    pub diskseq: Diskseq,
}

impl TryFrom<Option<wire::DeviceHandle>> for DeviceHandle {
    type Error = Invalid;

    fn try_from(wire: Option<wire::DeviceHandle>) -> Result<Self, Invalid> {
        let wire = wire.ok_or_else(|| Invalid::new("device", "", "name one"))?;
        Ok(Self { vm: wire.vm_id.parse()?, diskseq: Diskseq::new(wire.diskseq)? })
    }
}

impl From<DeviceHandle> for wire::DeviceHandle {
    fn from(handle: DeviceHandle) -> Self {
        Self { vm_id: handle.vm.to_string(), diskseq: handle.diskseq.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_the_wire_and_half_ones_are_refused() {
        let handle = DeviceHandle { vm: VmId::random(), diskseq: Diskseq::new(7).unwrap() };
        assert_eq!(DeviceHandle::try_from(Some(wire::DeviceHandle::from(handle))), Ok(handle));
        let whole = wire::DeviceHandle::from(handle);
        assert!(DeviceHandle::try_from(None).is_err());
        assert!(DeviceHandle::try_from(Some(wire::DeviceHandle::default())).is_err());
        assert!(
            DeviceHandle::try_from(Some(wire::DeviceHandle { diskseq: 0, ..whole.clone() }))
                .is_err()
        );
        assert!(
            DeviceHandle::try_from(Some(wire::DeviceHandle { vm_id: "../x".into(), ..whole }))
                .is_err()
        );
    }
}
