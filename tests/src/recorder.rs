//! A disk in memory that remembers what was written between flushes, so that a
//! crash at any point can be played through.

use std::sync::{Arc, Mutex};

use banger_ext4::{Disk, MemoryDisk, Result};

/// One write: where, and what.
pub type Write = (u64, Vec<u8>);

/// A disk that notes writes in epochs; a flush ends one.
pub struct Recorder {
    disk: Arc<dyn Disk>,
    epochs: Mutex<Vec<Vec<Write>>>,
}

impl Recorder {
    /// A disk with this content, nothing noted yet.
    pub fn new(content: Vec<u8>) -> Self {
        Self::over(Arc::new(MemoryDisk::from(content)))
    }

    /// Writes go on to `disk`.
    pub fn over(disk: Arc<dyn Disk>) -> Self {
        Self { disk, epochs: Mutex::new(vec![Vec::new()]) }
    }

    /// What was written since, by epoch.
    pub fn epochs(&self) -> Vec<Vec<Write>> {
        self.epochs.lock().expect("nobody panicked").clone()
    }
}

impl Disk for Recorder {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.disk.write_at(offset, data)?;
        let mut epochs = self.epochs.lock().expect("nobody panicked");
        epochs.last_mut().expect("there is one").push((offset, data.to_vec()));
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.epochs.lock().expect("nobody panicked").push(Vec::new());
        Ok(())
    }

    fn len(&self) -> u64 {
        self.disk.len()
    }
}

/// A small generator of numbers, the same ones for the same seed.
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }
}

/// Every state a crash may leave, or a sample: all of the epochs before one, and of
/// that none, all, prefixes, all but one, and random sectors of 512 bytes.
pub fn crash_states(epochs: &[Vec<Write>], sample: u64, random: &mut Random) -> Vec<Vec<Write>> {
    let mut states = Vec::new();
    let mut before: Vec<Write> = Vec::new();
    for epoch in epochs {
        // Joined writes are sectors to a device.
        let sectors: Vec<Write> = epoch
            .iter()
            .flat_map(|(offset, bytes)| {
                (*offset..).step_by(512).zip(bytes.chunks(512).map(<[u8]>::to_vec))
            })
            .collect();
        let mut add = |kept: &dyn Fn(usize) -> bool| {
            let some = sectors.iter().enumerate().filter(|(n, _)| kept(*n));
            let mut state = before.clone();
            state.extend(some.map(|(_, write)| write.clone()));
            states.push(state);
        };
        add(&|_| false);
        if !sectors.is_empty() {
            for _ in 0..sample.min(sectors.len() as u64) {
                let cut = random.below(sectors.len() as u64) as usize;
                add(&|n| n <= cut);
                add(&|n| n != cut);
                let share = random.below(100);
                let chosen: Vec<bool> = sectors.iter().map(|_| random.below(100) < share).collect();
                add(&|n| chosen[n]);
            }
            add(&|_| true);
        }
        before.extend(epoch.iter().cloned());
    }
    states
}
