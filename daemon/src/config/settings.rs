//! What files say, checked: absent is what nobody says.

use std::path::PathBuf;
use std::time::Duration;

use banger_proto::{Cpus, ImageName, Lifetime, Mib, Seconds, VmmChoice};

use super::defaults;
use crate::vmm::Accelerator;

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: u32,
}

/// A value, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// All that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub(super) image: Option<Set<ImageName>>,
    pub(super) cpus: Option<Set<Cpus>>,
    pub(super) memory: Option<Set<Mib>>,
    pub(super) disk: Option<Set<Mib>>,
    pub(super) ttl: Option<Set<Lifetime>>,
    pub(super) vmm: Option<Set<VmmChoice>>,
    pub(super) boot: Option<Set<Seconds>>,
    pub(super) stop: Option<Set<Seconds>>,
    pub(super) programs: Vec<Set<PathBuf>>,
}

impl Settings {
    /// The image of a VM that names none.
    #[must_use]
    pub fn image(&self) -> Option<&Set<ImageName>> {
        self.image.as_ref()
    }

    /// Processors of a new VM.
    #[must_use]
    pub fn cpus(&self) -> Cpus {
        self.cpus.as_ref().map_or_else(defaults::cpus, |set| set.value)
    }

    /// Memory of a new VM.
    #[must_use]
    pub fn memory(&self) -> Mib {
        self.memory.as_ref().map_or_else(defaults::memory, |set| set.value)
    }

    /// Size of the work disk of a new VM.
    #[must_use]
    pub fn disk(&self) -> Mib {
        self.disk.as_ref().map_or(defaults::DISK, |set| set.value)
    }

    /// When a new VM is removed whatever it does; absent when nobody says.
    #[must_use]
    pub fn ttl(&self) -> Option<Lifetime> {
        self.ttl.as_ref().map(|set| set.value)
    }

    /// What runs a new VM.
    #[must_use]
    pub fn vmm(&self) -> VmmChoice {
        self.vmm.as_ref().map(|set| set.value).unwrap_or_default()
    }

    /// How long a guest may take until it answers.
    #[must_use]
    pub fn boot(&self, accelerator: Accelerator) -> Duration {
        self.boot.as_ref().map_or(defaults::boot(accelerator), |set| set.value).duration()
    }

    /// How long a guest has to shut down.
    #[must_use]
    pub fn stop(&self, accelerator: Accelerator) -> Duration {
        self.stop.as_ref().map_or(defaults::stop(accelerator), |set| set.value).duration()
    }

    /// Folders that are searched for programs before the usual ones.
    #[must_use]
    pub fn programs(&self) -> Vec<PathBuf> {
        self.programs.iter().map(|set| set.value.clone()).collect()
    }
}
