//! What the helper says of itself, of the host, and of what the caller has used.

use super::numbers::numbers;
use crate::Invalid;
use crate::wire::roothelper as wire;

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperDescription {
    /// Its version.
    pub version: String,
    /// What one user may have and one request may carry.
    pub limits: HelperLimits,
    /// What of it the caller has used.
    pub usage: HelperUsage,
    /// Linux of the host, as `6.12`.
    pub kernel: String,
    /// The least that the helper needs.
    pub minimum_kernel: String,
    /// What its verbs need of the host.
    pub facilities: Vec<Facility>,
    /// polkit's answers, when they were asked for.
    pub actions: Vec<ActionAnswer>,
}

/// What one user may have and one request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelperLimits {
    /// Apparent bytes of overlay files.
    pub overlay_quota_bytes: u64,
    /// VMs attached at once.
    pub vms: u32,
    /// Bytes of one reading.
    pub read_bytes: u64,
    /// Paths of one reading.
    pub read_paths: u32,
    /// Entries of one batch.
    pub batch_entries: u32,
    /// Bytes of paths and contents of one batch.
    pub batch_bytes: u64,
    /// VMs that one sweep may be told to keep.
    pub keep_vms: u32,
}

/// What the caller has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HelperUsage {
    /// Apparent bytes of overlay files.
    pub overlay_bytes: u64,
    /// Bytes that are free for everybody where the overlays are.
    pub overlay_free_bytes: u64,
}

/// Something that verbs need of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// What it is.
    pub kind: FacilityKind,
    /// Whether it is there.
    pub available: bool,
    /// What was found, or what is missing.
    pub found: String,
}

/// What verbs need of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacilityKind {
    /// A kernel of the minimum version.
    Kernel,
    /// Device-mapper with its snapshot target.
    DeviceMapper,
    /// Loop devices.
    Loop,
    /// The rules that keep the host's hands off guests' devices.
    UdevRules,
    /// Taps.
    Tun,
    /// The folder of overlays.
    Overlays,
    /// Landlock, behind which filesystems of guests are read.
    Landlock,
}

numbers! { FacilityKind, "facility"; Kernel, DeviceMapper, Loop, UdevRules, Tun, Overlays, Landlock }

/// What polkit would say about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionAnswer {
    /// The action's identifier.
    pub action: String,
    /// The answer.
    pub answer: Answer,
}

/// What polkit would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, without asking anybody.
    Yes,
    /// Yes once somebody has typed a password.
    Challenge,
    /// No.
    No,
    /// Nothing that can be used.
    Unknown,
}

numbers! { Answer, "answer"; Yes, Challenge, No, Unknown }

impl From<HelperLimits> for wire::Limits {
    fn from(limits: HelperLimits) -> Self {
        let HelperLimits {
            overlay_quota_bytes,
            vms,
            read_bytes,
            read_paths,
            batch_entries,
            batch_bytes,
            keep_vms,
        } = limits;
        Self {
            overlay_quota_bytes,
            vms,
            read_bytes,
            read_paths,
            batch_entries,
            batch_bytes,
            keep_vms,
        }
    }
}

impl From<wire::Limits> for HelperLimits {
    fn from(limits: wire::Limits) -> Self {
        let wire::Limits {
            overlay_quota_bytes,
            vms,
            read_bytes,
            read_paths,
            batch_entries,
            batch_bytes,
            keep_vms,
        } = limits;
        Self {
            overlay_quota_bytes,
            vms,
            read_bytes,
            read_paths,
            batch_entries,
            batch_bytes,
            keep_vms,
        }
    }
}

impl TryFrom<wire::DescribeResponse> for HelperDescription {
    type Error = Invalid;

    fn try_from(wire: wire::DescribeResponse) -> Result<Self, Invalid> {
        let missing = |what| Invalid::new(what, "", "not one of this version");
        let usage = wire.usage.ok_or_else(|| missing("usage"))?;
        Ok(Self {
            version: wire.version,
            limits: wire.limits.ok_or_else(|| missing("limits"))?.into(),
            usage: HelperUsage {
                overlay_bytes: usage.overlay_bytes,
                overlay_free_bytes: usage.overlay_free_bytes,
            },
            kernel: wire.kernel,
            minimum_kernel: wire.minimum_kernel,
            facilities: wire
                .facilities
                .into_iter()
                .map(|facility| {
                    Ok(Facility {
                        kind: FacilityKind::from_wire(facility.kind)?,
                        available: facility.available,
                        found: facility.found,
                    })
                })
                .collect::<Result<_, Invalid>>()?,
            actions: wire
                .actions
                .into_iter()
                .map(|row| {
                    Ok(ActionAnswer { action: row.action, answer: Answer::from_wire(row.answer)? })
                })
                .collect::<Result<_, Invalid>>()?,
        })
    }
}

impl From<HelperDescription> for wire::DescribeResponse {
    fn from(description: HelperDescription) -> Self {
        Self {
            version: description.version,
            limits: Some(description.limits.into()),
            usage: Some(wire::Usage {
                overlay_bytes: description.usage.overlay_bytes,
                overlay_free_bytes: description.usage.overlay_free_bytes,
            }),
            kernel: description.kernel,
            minimum_kernel: description.minimum_kernel,
            facilities: description
                .facilities
                .into_iter()
                .map(|facility| wire::Facility {
                    kind: facility.kind.to_wire(),
                    available: facility.available,
                    found: facility.found,
                })
                .collect(),
            actions: description
                .actions
                .into_iter()
                .map(|row| wire::ActionAnswer { action: row.action, answer: row.answer.to_wire() })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_survives_the_wire_and_half_ones_are_refused() {
        let description = HelperDescription {
            version: "1.2.3".into(),
            limits: HelperLimits {
                overlay_quota_bytes: 1,
                vms: 2,
                read_bytes: 3,
                read_paths: 4,
                batch_entries: 5,
                batch_bytes: 6,
                keep_vms: 7,
            },
            usage: HelperUsage { overlay_bytes: 8, overlay_free_bytes: 9 },
            kernel: "6.12".into(),
            minimum_kernel: "6.5".into(),
            facilities: vec![Facility {
                kind: FacilityKind::Loop,
                available: false,
                found: "no /dev/loop-control".into(),
            }],
            actions: vec![ActionAnswer { action: "a.b".into(), answer: Answer::Challenge }],
        };
        let wire = wire::DescribeResponse::from(description.clone());
        assert_eq!(HelperDescription::try_from(wire.clone()), Ok(description));
        let half = wire::DescribeResponse { limits: None, ..wire };
        assert!(HelperDescription::try_from(half).is_err());
    }
}
