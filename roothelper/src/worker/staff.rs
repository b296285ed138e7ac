//! The helper's workers: so many at a time, and so many of each user's.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use banger_proto::{Code, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::chain;
use super::{Account, Deadlines, NoAccount, Program, Workers};
use crate::OwnerUid;

/// Workers of all users at a time, and of one: each may have half of the unit's memory, but
/// takes a few MiB on a filesystem that is sound.
const ALL: usize = 8;
const OF_A_USER: usize = 2;

/// Whom verbs have their work done by.
#[derive(Debug, Clone)]
pub(crate) struct Staff {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    workers: Result<Workers, NoWorkers>,
    all: Arc<Semaphore>,
    users: Mutex<BTreeMap<OwnerUid, Arc<Semaphore>>>,
}

/// Why there are no workers.
#[derive(Debug, thiserror::Error)]
pub enum NoWorkers {
    /// They have no user.
    #[error("there is nobody for the ext4 worker to be")]
    NoAccount(#[from] NoAccount),
    /// The helper does not find its own program.
    #[error("the helper cannot open its own program")]
    NoProgram(#[from] io::Error),
}

/// The right to start a worker. Dropping gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    staff: Staff,
    uid: OwnerUid,
    held: Option<[OwnedSemaphorePermit; 2]>,
}

impl Workers {
    /// Those of this very program, who become the user that is theirs.
    ///
    /// # Errors
    /// [`NoWorkers`].
    pub fn of_the_helper() -> Result<Self, NoWorkers> {
        Ok(Self::new(Program::this()?, Account::find()?, Deadlines::default()))
    }
}

impl Staff {
    pub(crate) fn new(workers: Result<Workers, NoWorkers>) -> Self {
        let (all, users) = (Arc::new(Semaphore::new(ALL)), Mutex::default());
        Self { shared: Arc::new(Shared { workers, all, users }) }
    }

    /// The workers, and a place for one of this user's, which is waited for.
    pub(crate) async fn place(&self, uid: OwnerUid) -> Result<(&Workers, Place), Refusal> {
        let workers = self.shared.workers.as_ref().map_err(|error| {
            let what = "the ext4 worker cannot be started";
            Refusal { chain: chain(error), ..Refusal::new(Code::FailedPrecondition, what) }
                .hint("sudo systemd-sysusers banger.conf; sudo systemctl restart banger-roothelper")
        })?;
        let mut place = Place { staff: self.clone(), uid, held: None };
        let own = {
            let mut users = self.shared.users.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(users.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(OF_A_USER))))
        };
        // One's own first: nobody waits among all with more than these.
        let closed = |_| Refusal::new(Code::Internal, "the helper has no places for workers");
        let own = own.acquire_owned().await.map_err(closed)?;
        let all = Arc::clone(&self.shared.all).acquire_owned().await.map_err(closed)?;
        place.held = Some([own, all]);
        Ok((workers, place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut users = self.staff.shared.users.lock().unwrap_or_else(PoisonError::into_inner);
        // Who waits has it, too.
        if users.get(&self.uid).is_some_and(|places| Arc::strong_count(places) == 1) {
            users.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn staff() -> Staff {
        let program = Program::at(std::path::Path::new("/")).unwrap();
        Staff::new(Ok(Workers::new(program, Account::new(5, 5).unwrap(), Deadlines::default())))
    }

    fn now(staff: &Staff, uid: u32) -> Option<Place> {
        let uid = OwnerUid::new(uid).unwrap();
        match pin!(staff.place(uid)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place.unwrap().1),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_user_has_two_places_and_all_together_eight() {
        let staff = staff();
        let mut places: Vec<_> = (1..=4)
            .flat_map(|uid| [now(&staff, uid), now(&staff, uid), now(&staff, uid)])
            .flatten()
            .collect();
        assert_eq!(places.len(), ALL);
        assert!(now(&staff, 5).is_none(), "there is none for the fifth");
        places.remove(0);
        assert!(now(&staff, 2).is_none(), "a user has two");
        assert!(now(&staff, 5).is_some());
        drop(places);
        assert!(staff.shared.users.lock().unwrap().is_empty());
    }

    #[test]
    fn without_workers_it_is_said_what_makes_them() {
        let staff = Staff::new(Err(NoAccount::Missing.into()));
        let place = pin!(staff.place(OwnerUid::new(1).unwrap()))
            .poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err(refusal)) = place else { panic!("it is a refusal") };
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert!(refusal.hint.contains("systemd-sysusers"), "{refusal:?}");
        assert_eq!(refusal.chain.len(), 2);
    }
}
