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

/// Threads of one user. There are never more threads than connections.
const THREADS: usize = 4;
/// Bytes of a thread's stack: no errand goes deep.
const STACK: usize = 128 << 10;
/// How long an errand may take before it is woken, and how often the first time; each time it
/// is given twice as long.
const PATIENCE: Duration = Duration::from_millis(20);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// Something to do.
type Errand = Box<dyn FnOnce() + Send>;

/// The errands of all users.
#[derive(Clone, Default)]
pub(super) struct Errands {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
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
    /// Has a thread of this user's do this, at once or when one is free.
    pub(super) fn run(&self, uid: u32, errand: impl FnOnce() + Send + 'static) {
        let mut users = self.shared.users();
        let user = users.entry(uid).or_default();
        user.waiting.push_back(Box::new(errand));
        self.start(uid, user);
        self.shared.begun.notify_one();
    }

    /// How many wait for a thread, of all users.
    pub(super) fn waiting(&self) -> usize {
        self.shared.users().values().map(|user| user.waiting.len()).sum()
    }

    /// Another thread for this user, if there may be one. Where none can be had, the next look
    /// at the errands brings one.
    fn start(&self, uid: u32, user: &mut User) {
        if user.threads.len() < THREADS {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("errand".into()).stack_size(STACK);
            // It waits for the list, which we have.
            if thread.spawn(move || work(&shared, uid)).is_ok() {
                user.threads.push(Running::new(None));
            }
        }
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
        let now = Instant::now();
        let mut next = None;
        for (&uid, user) in users.iter_mut() {
            if user.threads.is_empty() {
                self.start(uid, user);
            }
            for running in &mut user.threads {
                if running.until <= now {
                    // It is there: it leaves the list before it ends.
                    let _begins = running.thread.map(wake);
                    running.patience = MOST_PATIENCE.min(running.patience * 2);
                    running.until = now + running.patience;
                }
            }
            let first = user.threads.iter().map(|running| running.until - now).min();
            let first = first.unwrap_or(PATIENCE);
            next = Some(next.map_or(first, |next: Duration| next.min(first)));
        }
        next
    }
}

impl Running {
    fn new(thread: Option<Pid>) -> Self {
        Self { thread, patience: PATIENCE, until: Instant::now() + PATIENCE }
    }
}

/// A thread's life: one errand after another, until there is none.
fn work(shared: &Shared, uid: u32) {
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
        let errands = Errands::default();
        let stuck: Vec<_> = (0..THREADS + 3).map(|_| stuck(&errands, 1)).collect();
        let own = done(&errands, 1);
        done(&errands, 2).recv_timeout(LONG).unwrap();
        assert!(own.try_recv().is_err(), "there is no thread for it");
        assert!(errands.shared.users().get(&1).unwrap().threads.len() == THREADS);
        drop(stuck);
        own.recv_timeout(LONG).unwrap();
        let begun = Instant::now();
        while !errands.shared.users().is_empty() {
            assert!(begun.elapsed() < LONG, "the threads end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
