//! A kernel for tests: it behaves like Linux where the helper asks it, and touches nothing but
//! files of its own.
//!
//! The device of a snapshot is a file: the base image, copied when the device first gets its
//! table, with all that was written since. It lies there as long as the overlay does. Every call
//! that makes or changes something, or looks at what was made, is a step that a test can let
//! fail ([`State::failing`]), or at which it can let the helper be killed ([`State::cut`]).

mod devices;
mod images;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::LoopNumber;
use super::{Kernel, Overlay, Release, Seen};
use crate::{OwnerUid, Ownership};
pub use devices::{SimulatedDevice, SimulatedLoop};
use images::Images;
pub use network::Cables;

/// A host that has everything, until something is taken from it.
#[derive(Debug)]
pub struct Simulated {
    state: Arc<Mutex<State>>,
    images: Images,
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
    /// Loop devices of ours.
    pub loops: BTreeMap<LoopNumber, SimulatedLoop>,
    /// Devices of ours.
    pub devices: BTreeMap<Ownership, SimulatedDevice>,
    /// Devices whose names are ours, and whose uuids are not.
    pub foreign: BTreeSet<Ownership>,
    /// Bridge, taps and rules.
    pub cables: Cables,
    /// Disks that there have been, and devices.
    pub count: u32,
    /// udev does not answer.
    pub udev_hangs: bool,
    /// Steps that were made, from 1.
    pub steps: usize,
    /// Steps that fail, and change nothing.
    pub failing: BTreeSet<usize>,
    /// The step that waits until this is another or none: meanwhile a test does something.
    pub waiting_at: Option<usize>,
    /// The step at which the helper is killed: it and all later ones fail. What is held is let
    /// go as the kernel does it, by dropping.
    pub cut: Option<usize>,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                release: Release::new(6, 12),
                missing: BTreeMap::new(),
                overlays: BTreeMap::new(),
                disk: 1 << 40,
                loops: BTreeMap::new(),
                devices: BTreeMap::new(),
                foreign: BTreeSet::new(),
                cables: Cables::default(),
                count: 0,
                udev_hangs: false,
                steps: 0,
                failing: BTreeSet::new(),
                waiting_at: None,
                cut: None,
            })),
            images: Images::default(),
        }
    }
}

impl Simulated {
    /// What the host has.
    ///
    /// # Panics
    /// Never: a test that panicked while it held this has failed already.
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The next step, when it is not one that fails.
    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.steps += 1;
        let now = state.steps;
        while state.waiting_at == Some(now) {
            drop(state);
            std::thread::sleep(std::time::Duration::from_millis(1));
            state = self.state();
        }
        if state.failing.contains(&now) || state.cut.is_some_and(|cut| now >= cut) {
            return Err(io::Error::other(format!("step {now} fails")));
        }
        Ok(state)
    }

    fn seen(&self, facility: &'static str) -> Seen {
        self.state()
            .missing
            .get(facility)
            .map_or_else(|| Ok(facility.into()), |why| Err(why.clone()))
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn landlock(&self) -> Seen {
        self.seen("landlock")
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

    fn owners(&self) -> io::Result<BTreeSet<OwnerUid>> {
        let state = self.step()?;
        let bound = state.loops.values().filter_map(|found| found.bound.as_ref());
        let of_loops = bound.map(|(binding, _, _)| binding.of.uid);
        let others = state.devices.keys().chain(state.overlays.keys()).map(|of| of.uid);
        Ok(others.chain(of_loops).collect())
    }

    fn overlay_space(&self) -> io::Result<u64> {
        let state = self.state();
        let used = state.overlays.values().map(|(_, allocated)| allocated).sum();
        Ok(state.disk.saturating_sub(used))
    }

    fn create_overlay(&self, of: Ownership, size: u64) -> io::Result<()> {
        let mut state = self.step()?;
        if state.overlays.contains_key(&of) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.images.overlay(of, size)?;
        state.overlays.insert(of, (size, 0));
        Ok(())
    }

    fn open_overlay(&self, of: Ownership) -> io::Result<File> {
        let state = self.step()?;
        let &(size, _) = state.overlays.get(&of).ok_or(io::ErrorKind::NotFound)?;
        self.images.overlay(of, size)
    }

    fn remove_overlay(&self, of: Ownership) -> io::Result<()> {
        let mut state = self.step()?;
        state.overlays.remove(&of).ok_or(io::ErrorKind::NotFound)?;
        self.images.remove(of);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
