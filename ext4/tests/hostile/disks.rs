//! A disk that counts what is read, gives up beyond a budget, remembers where was written, and
//! may show other bytes at every look.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use banger_ext4::{Disk, Error, Result};

use crate::random::Random;

/// Bytes of the pieces in which writes are remembered.
pub(crate) const PIECE: u64 = 1024;

struct State {
    /// What was written, by the number of the piece, over the image.
    changed: BTreeMap<u64, Vec<u8>>,
    /// Calls left before reading fails: so that no loop that reads goes on for ever.
    budget: u64,
    reads: u64,
    written: BTreeSet<u64>,
    outside: bool,
    random: Random,
}

/// The disk.
pub(crate) struct Guarded {
    state: Mutex<State>,
    /// The image, which is never copied: zeros follow it up to the disk's length.
    image: Arc<Vec<u8>>,
    len: u64,
    /// What is shown now and then in place of what is there.
    others: Vec<Arc<Vec<u8>>>,
}

impl Guarded {
    pub(crate) fn new(image: Arc<Vec<u8>>, len: u64, others: Vec<Arc<Vec<u8>>>, seed: u64) -> Self {
        let state = State {
            changed: BTreeMap::new(),
            budget: 0,
            reads: 0,
            written: BTreeSet::new(),
            outside: false,
            random: Random::new(seed),
        };
        Self { state: Mutex::new(state), image, len, others }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap())
    }

    /// So many calls may follow.
    pub(crate) fn allow(&self, budget: u64) {
        self.with(|state| {
            state.budget = budget;
            state.reads = 0;
        });
    }

    /// Calls since the last budget, and whether there were more than it had.
    pub(crate) fn spent(&self) -> (u64, bool) {
        self.with(|state| (state.reads, state.reads > state.budget))
    }

    /// The pieces that were written since, and whether anything was outside.
    pub(crate) fn written(&self) -> (BTreeSet<u64>, bool) {
        self.with(|state| (std::mem::take(&mut state.written), state.outside))
    }

    /// All that is there now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = vec![0; self.len as usize];
        self.with(|state| self.copy(state, 0, &mut all));
        all
    }

    fn copy(&self, state: &State, offset: u64, buffer: &mut [u8]) {
        show(&self.image, offset, buffer);
        let end = offset + buffer.len() as u64;
        for (piece, bytes) in state.changed.range(offset / PIECE..end.div_ceil(PIECE)) {
            let start = piece * PIECE;
            let from = start.max(offset);
            let to = (start + PIECE).min(end);
            let part = &bytes[(from - start) as usize..(to - start) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
    }
}

/// Part of an image, zeros behind its end.
fn show(image: &[u8], offset: u64, buffer: &mut [u8]) {
    buffer.fill(0);
    let from = image.get(offset as usize..).unwrap_or_default();
    let len = from.len().min(buffer.len());
    buffer[..len].copy_from_slice(&from[..len]);
}

impl Disk for Guarded {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let failed = |kind: io::ErrorKind| Error::Io {
            action: "read",
            offset,
            source: io::Error::from(kind),
        };
        self.with(|state| {
            state.reads += 1;
            if state.reads > state.budget {
                return Err(failed(io::ErrorKind::TimedOut));
            }
            if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
                return Err(failed(io::ErrorKind::UnexpectedEof));
            }
            let len = self.others.len();
            if len > 0 && state.random.one_in(6) {
                show(&self.others[state.random.index(len)], offset, buffer);
            } else {
                self.copy(state, offset, buffer);
            }
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.with(|state| {
            if offset.checked_add(data.len() as u64).is_none_or(|end| end > self.len) {
                state.outside = true;
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(Error::Io { action: "write", offset, source });
            }
            let mut at = offset;
            let mut rest = data;
            while !rest.is_empty() {
                let piece = at / PIECE;
                let within = (at % PIECE) as usize;
                let len = rest.len().min(PIECE as usize - within);
                let bytes = state.changed.entry(piece).or_insert_with(|| {
                    let mut bytes = vec![0; PIECE as usize];
                    show(&self.image, piece * PIECE, &mut bytes);
                    bytes
                });
                bytes[within..within + len].copy_from_slice(&rest[..len]);
                at += len as u64;
                rest = &rest[len..];
            }
            let end = (offset + data.len() as u64).div_ceil(PIECE);
            state.written.extend(offset / PIECE..end);
            Ok(())
        })
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}
