//! What is changed of a VM that there is.

use crate::wire::daemon as wire;
use crate::{Cpus, Invalid, Lifetime, Mib, VmRef};

/// What a VM is to have from its next start on; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VmChange {
    /// Virtual processors.
    pub cpus: Option<Cpus>,
    /// Memory.
    pub memory: Option<Mib>,
    /// Size of the work disk.
    pub disk: Option<Mib>,
    /// When it is removed, counted from the change.
    pub lifetime: Option<Lifetime>,
    /// Also with more memory than the host has.
    pub force: bool,
}

impl VmChange {
    /// The message that asks for it.
    #[must_use]
    pub fn request(self, vm: &VmRef) -> wire::SetVmRequest {
        wire::SetVmRequest {
            vm: Some(wire::VmRef { name_or_id: vm.to_string() }),
            cpus: self.cpus.map_or(0, |cpus| cpus.get().into()),
            memory_mib: self.memory.map_or(0, Mib::get),
            disk_mib: self.disk.map_or(0, Mib::get),
            ttl_s: self.lifetime.map(Lifetime::seconds),
            force: self.force,
        }
    }
}

impl TryFrom<&wire::SetVmRequest> for VmChange {
    type Error = Invalid;

    fn try_from(wire: &wire::SetVmRequest) -> Result<Self, Invalid> {
        let mib = |value| (value != 0).then(|| Mib::new(value)).transpose();
        Ok(Self {
            cpus: (wire.cpus != 0).then(|| Cpus::new(wire.cpus)).transpose()?,
            memory: mib(wire.memory_mib)?,
            disk: mib(wire.disk_mib)?,
            lifetime: wire.ttl_s.map(Lifetime::from_seconds).transpose()?,
            force: wire.force,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_survives_the_wire() {
        let all = VmChange {
            cpus: Some(Cpus::new(2).unwrap()),
            memory: Some(Mib::new(512).unwrap()),
            disk: Some(Mib::new(1024).unwrap()),
            lifetime: Some(Lifetime::Unlimited),
            force: true,
        };
        let timed = VmChange { lifetime: Some("2h".parse().unwrap()), ..VmChange::default() };
        let web: VmRef = "web".parse().unwrap();
        for change in [VmChange::default(), all, timed] {
            assert_eq!(VmChange::try_from(&change.request(&web)), Ok(change));
        }
    }
}
