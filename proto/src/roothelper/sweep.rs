//! Removing what belongs to no VM.

use super::{Interaction, Object};
use crate::wire::roothelper as wire;
use crate::{Invalid, VmId};

/// Asks for the removal of all that belongs to none of some VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// VMs whose objects stay.
    pub keep: Vec<VmId>,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Overlay files too.
    pub include_overlays: bool,
    /// Whether polkit may ask the user.
    pub interaction: Interaction,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The object.
    pub object: Object,
    /// What became of it.
    pub fate: Fate,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was removed, or would be.
    Removed,
    /// It stays, for this reason.
    Stays(String),
}

impl TryFrom<wire::SweepRequest> for Sweep {
    type Error = Invalid;

    fn try_from(wire: wire::SweepRequest) -> Result<Self, Invalid> {
        Ok(Self {
            keep: wire.keep_vm_ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            dry_run: wire.dry_run,
            include_overlays: wire.include_overlays,
            interaction: wire.allow_interaction.into(),
        })
    }
}

impl From<Sweep> for wire::SweepRequest {
    fn from(request: Sweep) -> Self {
        Self {
            keep_vm_ids: request.keep.iter().map(ToString::to_string).collect(),
            dry_run: request.dry_run,
            include_overlays: request.include_overlays,
            allow_interaction: request.interaction.is_allowed(),
        }
    }
}

impl TryFrom<wire::Swept> for Swept {
    type Error = Invalid;

    fn try_from(wire: wire::Swept) -> Result<Self, Invalid> {
        let missing = |what| Invalid::new(what, "", "not one of this version");
        let fate = match wire.fate.ok_or_else(|| missing("fate"))? {
            wire::swept::Fate::Removed(_) => Fate::Removed,
            wire::swept::Fate::Stays(reason) => Fate::Stays(reason),
        };
        Ok(Self { object: wire.object.ok_or_else(|| missing("object"))?.try_into()?, fate })
    }
}

impl From<Swept> for wire::Swept {
    fn from(swept: Swept) -> Self {
        let fate = match swept.fate {
            Fate::Removed => wire::swept::Fate::Removed(wire::SweepRemoved {}),
            Fate::Stays(reason) => wire::swept::Fate::Stays(reason),
        };
        Self { object: Some(swept.object.into()), fate: Some(fate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roothelper::object::tests::one_of_each;

    #[test]
    fn a_sweep_survives_the_wire() {
        let ours = Sweep {
            keep: vec![VmId::random(), VmId::random()],
            dry_run: true,
            include_overlays: false,
            interaction: Interaction::Allowed,
        };
        let wire = wire::SweepRequest::from(ours.clone());
        assert_eq!(Sweep::try_from(wire.clone()), Ok(ours));
        let odd = wire::SweepRequest { keep_vm_ids: vec!["../x".into()], ..wire };
        assert!(Sweep::try_from(odd).is_err());
    }

    #[test]
    fn a_fate_survives_the_wire_and_none_is_refused() {
        for object in one_of_each() {
            for fate in [Fate::Removed, Fate::Stays("it is open".into())] {
                let ours = Swept { object: object.clone(), fate };
                let wire = wire::Swept::from(ours.clone());
                assert_eq!(Swept::try_from(wire.clone()), Ok(ours));
                assert!(Swept::try_from(wire::Swept { fate: None, ..wire.clone() }).is_err());
                assert!(Swept::try_from(wire::Swept { object: None, ..wire }).is_err());
            }
        }
    }
}
