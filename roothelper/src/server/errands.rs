//! What may wait for as long as a user likes: each user's on threads of their own.
//!
//! A descriptor that came from a client is asked about and closed there, and so is a connection
//! that one is left in: behind it may be a FUSE server that never answers, or a socket that
//! lingers. Whoever makes such things waits for them alone: each errand holds the place of the
//! connection that it came from, and a user has a few threads. Waits that can be left are left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::thread::gettid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::kernel::thread::{WAKING, wake};

/// How many threads there may be.
#[derive(Debug, Clone, Copy)]
struct Threads {
    of_user: usize,
    of_all: usize,
}

/// Of those who are let in. There are never more of all than connections.
const LET_IN: Threads = Threads { of_user: 4, of_all: usize::MAX };
/// Of those who are not, whose number nothing limits.
const TURNED_AWAY: Threads = Threads { of_user: 1, of_all: 8 };
/// Bytes of a thread's stack: no errand goes deep.
const STACK: usize = 128 << 10;
/// How long an errand may take before it is woken, and how often the first time; each time it
/// is given twice as long.
const PATIENCE: Duration = Duration::from_millis(20);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// Something to do.
type Errand = Box<dyn FnOnce() + Send>;

/// The errands of all users.
#[derive(Clone)]
pub(super) struct Errands {
    shared: Arc<Shared>,
}

struct Shared {
    threads: Threads,
    users: Mutex<HashMap<u32, User>>,
    begun: Notify,
}

#[derive(Default)]
struct User {
    waiting: VecDeque<Errand>,
    threads: Vec<Running>,
}

/// A thread, and when it is woken next.
struct Running {
    thread: Option<Pid>,
    patience: Duration,
    until: Instant,
}

impl std::fmt::Debug for Errands {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Errands")
    }
}

impl Shared {
    fn users(&self) -> MutexGuard<'_, HashMap<u32, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errands {
    /// Those of users who are let in.
    pub(super) fn of_the_let_in() -> Self {
        Self::with(LET_IN)
    }

    /// Those of everybody else: where as many as have threads wait for ever, the others wait
    /// for them.
    pub(super) fn of_the_turned_away() -> Self {
        Self::with(TURNED_AWAY)
    }

    fn with(threads: Threads) -> Self {
        let (users, begun) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { threads, users, begun }) }
    }

    /// Has a thread of this user's do this, at once or when one is free.
    pub(super) fn run(&self, uid: u32, errand: impl FnOnce() + Send + 'static) {
        let mut users = self.shared.users();
        users.entry(uid).or_default().waiting.push_back(Box::new(errand));
        start(&self.shared, &mut users, uid);
        self.shared.begun.notify_one();
    }

    /// Wakes errands that wait for too long, for ever. Nothing is woken where there is no handler
    /// for the signal.
    pub(super) async fn keep_moving(self) {
        let Ok(_handler) = signal(SignalKind::from_raw(WAKING)) else { return };
        loop {
            match self.wake() {
                None => self.shared.begun.notified().await,
                // Sooner when another begins.
                Some(rest) => drop(timeout(rest, self.shared.begun.notified()).await),
            }
        }
    }

    /// Wakes those whose time is over. How long until the next is, if there is any?
    fn wake(&self) -> Option<Duration> {
        let mut users = self.shared.users();
        start_waiting(&self.shared, &mut users);
        let (now, mut next) = (Instant::now(), None);
        for user in users.values_mut() {
            for running in &mut user.threads {
                if running.until <= now {
                    // It is there: it leaves the list before it ends.
                    let _begins = running.thread.map(wake);
                    running.patience = MOST_PATIENCE.min(running.patience * 2);
                    running.until = now + running.patience;
                }
            }
            let first = user.threads.iter().map(|running| running.until - now).min();
            // Who has none may have one soon.
            let first = first.unwrap_or(MOST_PATIENCE);
            next = Some(next.map_or(first, |next: Duration| next.min(first)));
        }
        next
    }
}

/// Another thread for this user, if there may be one. Where none can be had, the next look
/// at the errands brings one.
fn start(shared: &Arc<Shared>, users: &mut HashMap<u32, User>, uid: u32) {
    let Threads { of_user, of_all } = shared.threads;
    let all: usize = users.values().map(|user| user.threads.len()).sum();
    let Some(user) = users.get_mut(&uid) else { return };
    if user.threads.len() < of_user && all < of_all {
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("errand".into()).stack_size(STACK);
        // It waits for the list, which we have.
        if thread.spawn(move || work(&shared, uid)).is_ok() {
            user.threads.push(Running::new(None));
        }
    }
}

/// A thread for each user who waits without one.
fn start_waiting(shared: &Arc<Shared>, users: &mut HashMap<u32, User>) {
    let without = |(&uid, user): (&u32, &User)| user.threads.is_empty().then_some(uid);
    for uid in users.iter().filter_map(without).collect::<Vec<_>>() {
        start(shared, users, uid);
    }
}

impl Running {
    fn new(thread: Option<Pid>) -> Self {
        Self { thread, patience: PATIENCE, until: Instant::now() + PATIENCE }
    }
}

/// A thread's life: one errand after another, until there is none.
fn work(shared: &Arc<Shared>, uid: u32) {
    let own = Some(gettid());
    loop {
        let mut users = shared.users();
        let Some(user) = users.get_mut(&uid) else { return };
        // Its own place in the list, or that of one that has not begun: one is as good as another.
        let place = user.threads.iter().position(|running| running.thread == own);
        let place = place.or_else(|| user.threads.iter().position(|it| it.thread.is_none()));
        let Some(errand) = user.waiting.pop_front() else {
            if let Some(place) = place {
                user.threads.swap_remove(place);
            }
            if user.threads.is_empty() {
                users.remove(&uid);
            }
            // Its place is another one's.
            start_waiting(shared, &mut users);
            return;
        };
        if let Some(running) = place.and_then(|place| user.threads.get_mut(place)) {
            *running = Running::new(own);
        }
        drop(users);
        errand();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// An errand that waits until it is let go.
    fn stuck(errands: &Errands, uid: u32) -> std::sync::mpsc::Sender<()> {
        let (go, waits) = channel::<()>();
        errands.run(uid, move || {
            let _let_go = waits.recv();
        });
        go
    }

    fn done(errands: &Errands, uid: u32) -> Receiver<()> {
        let (done, is_done) = channel();
        errands.run(uid, move || done.send(()).unwrap());
        is_done
    }

    #[test]
    fn who_takes_all_their_threads_waits_alone() {
        let errands = Errands::of_the_let_in();
        let stuck: Vec<_> = (0..LET_IN.of_user + 3).map(|_| stuck(&errands, 1)).collect();
        let own = done(&errands, 1);
        done(&errands, 2).recv_timeout(LONG).unwrap();
        assert!(own.try_recv().is_err(), "there is no thread for it");
        assert!(errands.shared.users().get(&1).unwrap().threads.len() == LET_IN.of_user);
        drop(stuck);
        own.recv_timeout(LONG).unwrap();
        let begun = Instant::now();
        while !errands.shared.users().is_empty() {
            assert!(begun.elapsed() < LONG, "the threads end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    #[test]
    fn those_who_are_turned_away_have_few_threads_together() {
        let errands = Errands::of_the_turned_away();
        let of_all = u32::try_from(TURNED_AWAY.of_all).unwrap();
        let stuck: Vec<_> = (0..of_all + 3).map(|uid| stuck(&errands, uid)).collect();
        let last = done(&errands, of_all + 3);
        let threads: usize = errands.shared.users().values().map(|user| user.threads.len()).sum();
        assert_eq!(threads, TURNED_AWAY.of_all);
        assert!(
            last.recv_timeout(Duration::from_millis(100)).is_err(),
            "there is no thread for it"
        );
        // A thread that ends makes place for another user's, without being asked.
        drop(stuck);
        last.recv_timeout(LONG).unwrap();
    }
}
