//! A kernel for tests: it behaves like Linux where the helper asks it, and touches nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Kernel, Overlay, Release, Seen};
use crate::{OwnerUid, Ownership};

/// A host that has everything, until something is taken from it.
#[derive(Debug)]
pub struct Simulated {
    state: Mutex<State>,
}

/// What the host has; tests change it at will.
#[derive(Debug)]
pub struct State {
    /// Linux's version.
    pub release: Release,
    /// What is missing: the facility's word and what Linux would say.
    pub missing: BTreeMap<&'static str, String>,
    /// Copy-on-write files: their length and the bytes that they take.
    pub overlays: BTreeMap<Ownership, (u64, u64)>,
    /// Bytes of the disk that they are on.
    pub disk: u64,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                release: Release::new(6, 12),
                missing: BTreeMap::new(),
                overlays: BTreeMap::new(),
                disk: 1 << 40,
            }),
        }
    }
}

impl Simulated {
    /// What the host has.
    ///
    /// # Panics
    /// Never: a test that panicked while it held this has failed already.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self, facility: &'static str) -> Seen {
        self.state()
            .missing
            .get(facility)
            .map_or_else(|| Ok(facility.into()), |why| Err(why.clone()))
    }
}

impl Kernel for Simulated {
    fn release(&self) -> io::Result<Release> {
        Ok(self.state().release)
    }

    fn device_mapper(&self) -> Seen {
        self.seen("device-mapper")
    }

    fn loop_control(&self) -> Seen {
        self.seen("loop")
    }

    fn udev_rules(&self) -> Seen {
        self.seen("udev-rules")
    }

    fn tun(&self) -> Seen {
        self.seen("tun")
    }

    fn overlay_folder(&self) -> Seen {
        self.seen("overlays")
    }

    fn overlays_of(&self, uid: OwnerUid) -> io::Result<Vec<Overlay>> {
        let state = self.state();
        let own = state.overlays.iter().filter(|(ownership, _)| ownership.uid == uid);
        Ok(own
            .map(|(ownership, &(size, allocated))| Overlay {
                vm: ownership.vm,
                size,
                allocated,
                since: 0,
            })
            .collect())
    }

    fn overlay_space(&self) -> io::Result<u64> {
        let state = self.state();
        let used = state.overlays.values().map(|(_, allocated)| allocated).sum();
        Ok(state.disk.saturating_sub(used))
    }
}
