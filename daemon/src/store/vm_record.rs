//! What is remembered of a VM.

use banger_proto::{Cpus, ImageName, Isolation, Mib, VmId, VmName, VmState};
use serde::{Deserialize, Serialize};

use super::document::{Document, Migration};
use super::text;
use crate::spawn::ProcessId;

/// The image that a VM was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// Its name.
    #[serde(with = "text")]
    pub name: ImageName,
    /// Its id, which a later image of the same name does not have.
    pub id: String,
}

/// What is known of a VM only while its VMM runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Seconds since the epoch.
    pub started_at: i64,
    /// The VMM.
    pub vmm: ProcessId,
    /// What runs for it and ends with it: its walls, its network.
    pub companions: Vec<ProcessId>,
    /// Port on 127.0.0.1 that leads to the guest's sshd.
    pub ssh_port: u16,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `passt` or `slirp`.
    pub network: String,
    /// The walls around the VMM, a line each, for people.
    pub confinement: Vec<String>,
}

/// Where a VM is in its life, with what is known only there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Never started.
    Created {},
    /// A start is under way; a daemon that finds this undoes it.
    Starting {},
    /// The VMM runs.
    Running {
        /// How to reach and to recognise it.
        runtime: Runtime,
    },
    /// A stop is under way.
    Stopping {
        /// How to reach and to recognise it.
        runtime: Runtime,
    },
    /// It was stopped.
    Stopped {
        /// Why, when that is not plain; empty otherwise.
        reason: String,
    },
    /// The VMM ended on its own, or a start failed.
    Failed {
        /// How.
        reason: String,
    },
}

impl Phase {
    /// The state as people see it.
    #[must_use]
    pub fn state(&self) -> VmState {
        match self {
            Self::Created {} => VmState::Created,
            Self::Starting {} => VmState::Starting,
            Self::Running { .. } => VmState::Running,
            Self::Stopping { .. } => VmState::Stopping,
            Self::Stopped { .. } => VmState::Stopped,
            Self::Failed { .. } => VmState::Failed,
        }
    }

    /// Why it is there; empty when that is plain.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Stopped { reason } | Self::Failed { reason } => reason,
            _ => "",
        }
    }

    /// The VMM, while there is one.
    #[must_use]
    pub fn runtime(&self) -> Option<&Runtime> {
        match self {
            Self::Running { runtime } | Self::Stopping { runtime } => Some(runtime),
            _ => None,
        }
    }
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmRecord {
    /// Its identity.
    #[serde(with = "text")]
    pub id: VmId,
    /// Its name.
    #[serde(with = "text")]
    pub name: VmName,
    /// What it was made from.
    pub image: ImageRef,
    /// How it runs, for all its life.
    #[serde(with = "text")]
    pub isolation: Isolation,
    /// Virtual processors.
    #[serde(with = "text::cpus")]
    pub cpus: Cpus,
    /// Memory.
    #[serde(with = "text::mib")]
    pub memory: Mib,
    /// Size of the work disk.
    #[serde(with = "text::mib")]
    pub disk: Mib,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// Whether it is removed with the process that holds it.
    pub ephemeral: bool,
    /// The process that holds an ephemeral VM, so that a later daemon knows whom to await.
    pub holder: Option<ProcessId>,
    /// Where it is in its life.
    pub phase: Phase,
}

impl Document for VmRecord {
    const NOUN: &'static str = "VM record";
    const MIGRATIONS: &'static [Migration] = &[];
}
