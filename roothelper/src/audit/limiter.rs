//! How many entries a uid may fill: a few at once, then some a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Entries that a uid may write at once.
const BURST: u32 = 60;
/// After this time it may write one more.
const EACH: Duration = Duration::from_secs(2);
/// Uids that are kept apart; those beyond share one allowance.
const MOST: usize = 1024;

/// Whether an entry is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes; so many of the uid's were not since the last one that was.
    Pass { suppressed: u64 },
    /// No.
    Suppress,
}

#[derive(Debug)]
struct Allowance {
    left: u32,
    /// When the last one came back.
    refilled: Instant,
    suppressed: u64,
}

impl Allowance {
    const fn full(now: Instant) -> Self {
        Self { left: BURST, refilled: now, suppressed: 0 }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let back = u32::try_from(passed.as_secs() / EACH.as_secs()).unwrap_or(u32::MAX);
        if back >= BURST - self.left {
            (self.left, self.refilled) = (BURST, now);
        } else {
            self.left += back;
            self.refilled += EACH * back;
        }
    }
}

/// The allowances of all uids.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// `None` is everybody who came when there were too many.
    allowances: HashMap<Option<u32>, Allowance>,
}

impl Limiter {
    /// Takes one of the uid's.
    pub(super) fn take(&mut self, uid: u32, now: Instant) -> Verdict {
        let known = self.allowances.contains_key(&Some(uid));
        if !known && self.allowances.len() >= MOST {
            // Whoever has a whole allowance and nothing to tell is as good as new.
            self.allowances.retain(|_, allowance| {
                allowance.refill(now);
                allowance.left < BURST || allowance.suppressed > 0
            });
        }
        let key = (known || self.allowances.len() < MOST).then_some(uid);
        let allowance = self.allowances.entry(key).or_insert_with(|| Allowance::full(now));
        allowance.refill(now);
        if allowance.left == 0 {
            allowance.suppressed += 1;
            return Verdict::Suppress;
        }
        allowance.left -= 1;
        Verdict::Pass { suppressed: std::mem::take(&mut allowance.suppressed) }
    }

    /// What was left out and not told yet, by uid; the uid of those who share is -1.
    pub(super) fn suppressed(&self) -> Vec<(u32, u64)> {
        let told = self.allowances.iter().filter(|(_, allowance)| allowance.suppressed > 0);
        told.map(|(uid, allowance)| (uid.unwrap_or(u32::MAX), allowance.suppressed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_that_floods_is_limited_and_what_was_left_out_is_told() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(limiter.take(1, start), Verdict::Pass { suppressed: 0 });
        }
        for _ in 0..1000 {
            assert_eq!(limiter.take(1, start), Verdict::Suppress);
        }
        assert_eq!(limiter.take(2, start), Verdict::Pass { suppressed: 0 });
        assert_eq!(limiter.suppressed(), [(1, 1000)]);
        assert_eq!(limiter.take(1, start + EACH), Verdict::Pass { suppressed: 1000 });
        assert_eq!(limiter.take(1, start + EACH), Verdict::Suppress);
        // A long while fills no more than the whole.
        let later = start + EACH * 10 * BURST;
        assert_eq!(limiter.take(1, later), Verdict::Pass { suppressed: 1 });
        for _ in 1..BURST {
            assert_eq!(limiter.take(1, later), Verdict::Pass { suppressed: 0 });
        }
        assert_eq!(limiter.take(1, later), Verdict::Suppress);
    }

    #[test]
    fn many_uids_take_little_memory_and_share_what_is_left() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        for uid in 0..100_000 {
            limiter.take(uid, start);
        }
        assert!(limiter.allowances.len() <= MOST + 1);
        // Those beyond shared one allowance.
        assert_eq!(
            limiter.suppressed().iter().map(|(_, count)| count).sum::<u64>(),
            100_000 - MOST as u64 - u64::from(BURST)
        );
        // Later there is place again.
        assert_eq!(limiter.take(100_001, start + EACH * 2), Verdict::Pass { suppressed: 0 });
    }
}
