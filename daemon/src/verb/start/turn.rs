//! Whose turn it is to start with the root helper, or to boot.
//!
//! Under software emulation a booting guest wants a whole processor. Many at once cost each
//! other more than they get: each spends what little time it has on its own clock's ticks,
//! and all of them run out of patience. A few at a time are all up sooner.
//!
//! The root helper's calls have a deadline each, which many at once on few processors miss
//! together, and also beside many guests that boot; a few at a time all meet it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a start waits for its turn: others may hang until they are given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// The turns of starts.
#[derive(Debug)]
pub struct Turns(Arc<Semaphore>);

/// A start's turn, until it is dropped; none for one that did not get one in time.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    #[cfg(test)]
    fn is_one(&self) -> bool {
        self._permit.is_some()
    }
}

impl Default for Turns {
    /// Two a processor: one reads its disk while the other counts.
    fn default() -> Self {
        Self::of(2 * std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Turns {
    fn of(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// A turn, when there is one at once.
    pub(super) fn now(&self) -> Option<Turn> {
        let permit = self.0.clone().try_acquire_owned().ok()?;
        Some(Turn { _permit: Some(permit) })
    }

    /// A turn in the order in which they were asked for, or none after some time.
    pub(super) async fn wait(&self) -> Turn {
        self.wait_at_most(PATIENCE).await
    }

    async fn wait_at_most(&self, patience: Duration) -> Turn {
        let permit = tokio::time::timeout(patience, self.0.clone().acquire_owned()).await;
        Turn { _permit: permit.ok().and_then(Result::ok) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_comes_when_another_ends_or_when_patience_does() {
        let turns = Turns::of(1);
        let first = turns.now().unwrap();
        assert!(turns.now().is_none());
        let second = turns.wait_at_most(Duration::from_millis(20)).await;
        assert!(!second.is_one(), "the first hangs");
        drop(first);
        assert!(turns.wait().await.is_one());
        assert!(turns.now().is_some(), "what is dropped is free again");
    }
}
