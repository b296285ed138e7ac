//! How many connections and calls a user may have at once.
//!
//! A user may have another connection while there are more free places than the user has
//! connections: however many users take as much as they can, a place is left for the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::errands::Errands;
use crate::OwnerUid;

/// How much is let in.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Connections of all users.
    pub connections: usize,
    /// Connections of one user.
    pub connections_of_user: usize,
    /// Calls of one user that are worked on; more of them wait.
    pub calls_of_user: usize,
    /// Batches of files of all users that are taken in; more of them wait. One user has one.
    pub batches: usize,
}

impl Capacity {
    /// For the 2048 descriptors, 512 tasks of the unit, and 256 MiB beside its workers: a connection has seven
    /// descriptors at most (its socket, its process, what one message carries until it is
    /// refused) and an errand's thread, a batch in the making 16 MiB.
    pub const UNIT: Self =
        Self { connections: 256, connections_of_user: 64, calls_of_user: 16, batches: 8 };
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The user has as many as one may have.
    #[error("this user has too many connections to the root helper")]
    OfUser,
    /// All users together do.
    #[error("the root helper has too many connections")]
    OfAll,
}

/// Counts connections.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    capacity: Capacity,
    batches: Arc<Semaphore>,
    errands: Errands,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    users: HashMap<OwnerUid, User>,
    /// Connections of all.
    total: watch::Sender<usize>,
}

#[derive(Debug)]
struct User {
    connections: usize,
    calls: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

/// The place of one connection, and of what goes on after its client left. Dropping gives it
/// back.
#[derive(Debug)]
pub(super) struct Ticket {
    uid: OwnerUid,
    errands: Errands,
    inner: Arc<Mutex<Inner>>,
    /// Calls of this user.
    pub(super) calls: Arc<Semaphore>,
    /// Batches of this user, and of all.
    pub(super) batches: [Arc<Semaphore>; 2],
}

impl Admission {
    pub(super) fn new(capacity: Capacity, errands: Errands) -> Self {
        let inner = Inner { users: HashMap::new(), total: watch::Sender::new(0) };
        Self {
            capacity,
            errands,
            batches: Arc::new(Semaphore::new(capacity.batches)),
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// A place for another connection of this user.
    pub(super) fn admit(&self, uid: OwnerUid) -> Result<Ticket, Full> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.capacity.connections.saturating_sub(*inner.total.borrow());
        let has = inner.users.get(&uid).map_or(0, |user| user.connections);
        if free == 0 {
            return Err(Full::OfAll);
        }
        if has >= self.capacity.connections_of_user.min(free) {
            return Err(Full::OfUser);
        }
        inner.total.send_modify(|total| *total += 1);
        let user = inner.users.entry(uid).or_insert_with(|| User {
            connections: 0,
            calls: Arc::new(Semaphore::new(self.capacity.calls_of_user)),
            batches: Arc::new(Semaphore::new(1)),
        });
        user.connections += 1;
        Ok(Ticket {
            uid,
            errands: self.errands.clone(),
            calls: Arc::clone(&user.calls),
            batches: [Arc::clone(&user.batches), Arc::clone(&self.batches)],
            inner: Arc::clone(&self.inner),
        })
    }

    /// Returns when nobody has had a place for this long.
    pub(super) async fn idle(&self, patience: Duration) {
        let inner = || self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = inner().total.subscribe();
        // The sender lives as long as what is waited for: no wait ends by its end.
        loop {
            drop(total.wait_for(|&total| total == 0).await);
            if tokio::time::timeout(patience, total.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Ticket {
    /// Has a thread of the user's do this, which may take as long as the user likes. The place
    /// is taken until it is done.
    pub(super) fn errand(self: &Arc<Self>, errand: impl FnOnce() + Send + 'static) {
        let place = Arc::clone(self);
        self.errands.run(self.uid.get(), move || {
            errand();
            drop(place);
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total.send_modify(|total| *total = total.saturating_sub(1));
        let left = inner.users.get_mut(&self.uid).map(|user| {
            user.connections = user.connections.saturating_sub(1);
            user.connections
        });
        if left == Some(0) {
            inner.users.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> OwnerUid {
        OwnerUid::new(number).unwrap()
    }

    #[test]
    fn a_user_has_so_many_and_gets_them_back() {
        let admission = Admission::new(Capacity::UNIT, Errands::of_the_let_in());
        let mut tickets: Vec<_> = (0..64).map(|_| admission.admit(uid(1)).unwrap()).collect();
        assert_eq!(admission.admit(uid(1)).unwrap_err(), Full::OfUser);
        tickets.pop();
        tickets.push(admission.admit(uid(1)).unwrap());
        assert!(admission.admit(uid(1)).is_err());
        drop(tickets);
        assert!(admission.inner.lock().unwrap().users.is_empty());
    }

    #[tokio::test]
    async fn idle_is_when_nobody_has_had_a_place_for_a_while() {
        let patience = Duration::from_millis(100);
        let admission = Admission::new(Capacity::UNIT, Errands::of_the_let_in());
        let ticket = admission.admit(uid(1)).unwrap();
        let mut idle = Box::pin(admission.idle(patience));
        assert!(tokio::time::timeout(3 * patience, &mut idle).await.is_err(), "somebody is there");
        drop(ticket);
        let begun = std::time::Instant::now();
        tokio::time::timeout(Duration::from_secs(60), &mut idle).await.expect("it ends");
        assert!(begun.elapsed() >= patience);
    }

    #[test]
    fn however_many_take_all_they_can_another_one_gets_in() {
        let admission = Admission::new(Capacity::UNIT, Errands::of_the_let_in());
        let mut tickets = Vec::new();
        for greedy in 1..=8 {
            let before = tickets.len();
            while let Ok(ticket) = admission.admit(uid(greedy)) {
                tickets.push(ticket);
            }
            assert!(tickets.len() > before, "user {greedy} got in");
        }
        let full = (9..).map(|next| admission.admit(uid(next))).take_while(|admitted| {
            admitted.as_ref().is_ok_and(|_| true) || *admitted.as_ref().unwrap_err() == Full::OfUser
        });
        // Each newcomer takes one of the last places; nobody's second comes before.
        let last: Vec<_> = full.collect();
        assert!(last.iter().all(Result::is_ok) && !last.is_empty());
        assert_eq!(admission.admit(uid(1)).unwrap_err(), Full::OfAll);
    }
}
