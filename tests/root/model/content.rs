//! Contents of files that need no memory: bytes that follow from a few numbers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use banger_tests::manifest;

/// Bytes that share a fate: all zero, or not.
const PIECE: usize = 1024;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// So many bytes that follow from a seed; a quarter of the pieces is zero.
    Mixed { seed: u64, len: usize },
    /// So many bytes, none of them zero.
    Solid { seed: u64, len: usize },
    /// These very bytes.
    Text(Vec<u8>),
}

impl Content {
    pub fn len(&self) -> usize {
        match self {
            Self::Mixed { len, .. } | Self::Solid { len, .. } => *len,
            Self::Text(text) => text.len(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (seed, holes) = match self {
            Self::Mixed { seed, .. } => (*seed, true),
            Self::Solid { seed, .. } => (*seed, false),
            Self::Text(text) => return text.clone(),
        };
        let mut bytes = vec![0; self.len()];
        for (n, piece) in bytes.chunks_mut(PIECE).enumerate() {
            let mixed = (seed ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if holes && mixed >> 62 == 0 {
                continue;
            }
            for (at, byte) in piece.iter_mut().enumerate() {
                *byte = (mixed >> (at % 7 * 8)) as u8 | 1;
            }
        }
        bytes
    }

    /// The hash that a manifest has of it.
    pub fn hash(&self) -> String {
        static KNOWN: Mutex<Option<HashMap<Content, String>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        if known.len() > 10_000 {
            known.clear();
        }
        let made = || manifest::hash(&self.bytes()[..]).unwrap();
        known.entry(self.clone()).or_insert_with(made).clone()
    }
}
