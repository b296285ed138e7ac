//! How many calls a user may have decided on that the log must not lose: many at once, then some
//! a second. Whoever makes more waits: nothing is left out, and nobody drowns the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Calls at once: what a user with very many VMs starts together is far below.
const BURST: u32 = 1000;
/// After this time there may be one more.
const EACH: Duration = Duration::from_millis(100);
/// Nobody waits longer, whatever came before: a user has few calls at a time.
const MOST: Duration = Duration::from_secs(5);
/// Users that are kept apart; those beyond share one pace.
const USERS: usize = 1024;

/// The paces of all users.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Until when all of a user's calls are paid for. `None` is everybody who came when there
    /// were too many.
    until: HashMap<Option<u32>, Instant>,
}

impl Pace {
    /// Takes a user's turn. How long until it comes?
    pub(super) fn turn(&mut self, uid: u32, now: Instant) -> Duration {
        let known = self.until.contains_key(&Some(uid));
        if !known && self.until.len() >= USERS {
            // Who is through is as good as new.
            self.until.retain(|_, until| *until > now);
        }
        let key = (known || self.until.len() < USERS).then_some(uid);
        let until = self.until.entry(key).or_insert(now);
        *until = (*until).clamp(now, now + EACH * BURST + MOST);
        let wait = until.saturating_duration_since(now).saturating_sub(EACH * (BURST - 1));
        *until += EACH;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_many_at_once_and_then_waits_for_each_and_never_long() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(pace.turn(1, start), Duration::ZERO);
        }
        assert_eq!(pace.turn(1, start), EACH);
        assert_eq!(pace.turn(1, start), EACH * 2);
        assert_eq!(pace.turn(2, start), Duration::ZERO, "another user's turn is its own");
        for _ in 0..10_000 {
            assert!(pace.turn(1, start) <= MOST + EACH * 2);
        }
        // What nobody waited for is forgotten.
        let later = start + EACH * BURST * 2;
        assert_eq!(pace.turn(1, later), Duration::ZERO);
    }

    #[test]
    fn in_the_long_run_there_are_so_many_a_second() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut now = start;
        for _ in 0..5 * BURST {
            now += pace.turn(1, now);
        }
        let expected = EACH * (4 * BURST);
        assert!(now - start + EACH >= expected, "{:?}", now - start);
    }

    #[test]
    fn many_users_take_little_memory() {
        let mut pace = Pace::default();
        let start = Instant::now();
        for uid in 0..100_000 {
            assert!(pace.turn(uid, start) <= MOST + EACH * 2);
        }
        assert!(pace.until.len() <= USERS + 1);
        assert_eq!(pace.turn(100_001, start + EACH * BURST * 2), Duration::ZERO);
    }
}
