//! A request that names a VM and nothing else: DiscardOverlay, AttachNetwork, DetachNetwork.

use super::Interaction;
use crate::wire::roothelper as wire;
use crate::{Invalid, VmId};

/// A request about one of the caller's VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfVm {
    /// The VM.
    pub vm: VmId,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

macro_rules! of_vm {
    ($($message:ident),+) => {$(
        impl TryFrom<wire::$message> for OfVm {
            type Error = Invalid;

            fn try_from(wire: wire::$message) -> Result<Self, Invalid> {
                Ok(Self { vm: wire.vm_id.parse()?, interaction: wire.allow_interaction.into() })
            }
        }

        impl From<OfVm> for wire::$message {
            fn from(request: OfVm) -> Self {
                Self {
                    vm_id: request.vm.to_string(),
                    allow_interaction: request.interaction.is_allowed(),
                }
            }
        }
    )+};
}

of_vm!(DiscardOverlayRequest, AttachNetworkRequest, DetachNetworkRequest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire_and_needs_an_id() {
        for interaction in [Interaction::Never, Interaction::Allowed] {
            let ours = OfVm { vm: VmId::random(), interaction };
            assert_eq!(OfVm::try_from(wire::AttachNetworkRequest::from(ours)), Ok(ours));
        }
        for vm_id in ["", "../x", "67e55044-10b1-426f-9247-bb680e5fe0c", "\0"] {
            let wire = wire::DetachNetworkRequest { vm_id: vm_id.into(), allow_interaction: true };
            assert!(OfVm::try_from(wire).is_err(), "{vm_id}");
        }
    }
}
