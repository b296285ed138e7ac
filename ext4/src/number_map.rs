//! Maps from numbers of blocks and inodes: a hash of two multiplications.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map whose keys are numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, Numbers>;

/// A secret of each map: an image that means harm cannot choose numbers that fall together.
#[derive(Clone)]
pub(crate) struct Numbers {
    add: u64,
    times: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        let state = RandomState::new();
        Self { add: state.hash_one(0), times: state.hash_one(1) | 1 }
    }
}

impl BuildHasher for Numbers {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher { state: self.add, times: self.times }
    }
}

/// See [`Numbers`].
pub(crate) struct NumberHasher {
    state: u64,
    times: u64,
}

impl NumberHasher {
    fn mix(&mut self) {
        let product = u128::from(self.state) * u128::from(self.times);
        self.state = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.state ^= number;
        self.mix();
    }

    fn finish(&self) -> u64 {
        let mut last = Self { state: self.state, times: self.times };
        last.mix();
        last.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_in_a_row_and_far_apart_spread_over_both_ends_of_the_hash() {
        for step in [1, 8, 4096, 1 << 32] {
            let numbers = Numbers::default();
            let hashes: Vec<u64> = (0..4096u64).map(|n| numbers.hash_one(n * step)).collect();
            for part in [|hash: &u64| hash & 4095, |hash: &u64| hash >> 52] {
                let distinct = hashes.iter().map(part).collect::<HashSet<_>>().len();
                // Of 4,096 balls in 4,096 bins, 2,589 are expected to be the first in theirs.
                assert!(distinct > 2300, "{distinct} with a step of {step}");
            }
        }
    }
}
