//! Connections of those who are turned away, until the kernel has closed what is in them.
//!
//! ```text
//!  turned away, a descriptor is in what was not read
//!    --> held: a descriptor of ours   --- too many --->  sealed: in flight, in one socket a user
//!                 |                                          |
//!                 +---- a thread closes all of a user's at once: one wait, however many
//! ```
//!
//! Whoever makes such connections decides how long their closing takes. What can be left is left
//! (`errands`); a file of a FUSE server that never writes back cannot. Nobody waits for these:
//! sealed they take no descriptor of the helper's, and a handful of threads is all they have.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::{MaybeUninit, take};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use tokio::net::UnixStream;

use super::errands::Errands;

/// Connections of all users that may be held before they are sealed.
const MOST_HELD: usize = 128;
/// Users that are kept apart; those beyond share one lot.
const MOST_USERS: usize = 64;
/// Descriptors that one message carries, at most (the kernel's `SCM_MAX_FD`).
const MESSAGE: usize = 253;

/// All lots.
#[derive(Debug, Clone)]
pub(super) struct Lots {
    errands: Errands,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` is everybody who came when there were too many.
    of: HashMap<Option<u32>, Lot>,
}

/// What is to be closed of one user's.
#[derive(Debug, Default)]
struct Lot {
    held: Vec<UnixStream>,
    sealed: Option<OwnedFd>,
}

impl Lot {
    /// Puts what is held behind one descriptor, which is closed with all that is behind it.
    fn seal(&mut self) -> io::Result<()> {
        // Beside those that were sealed before.
        while !self.held.is_empty() {
            let some = self.held.len().min(MESSAGE - 1);
            let first = self.held.get(..some).unwrap_or_default();
            let before = self.sealed.iter().map(AsFd::as_fd);
            let all: Vec<_> = before.chain(first.iter().map(AsFd::as_fd)).collect();
            let sealed = in_flight(&all)?;
            // None of these is the last that is open.
            self.sealed = Some(sealed);
            self.held.drain(..some);
        }
        Ok(())
    }

    /// Closes all, however long it takes.
    fn close(mut self) {
        // All in one system call, whose waits end together: else one after another.
        let _one_by_one = self.seal();
        drop(self);
    }
}

/// A socket in which these are in flight.
fn in_flight(these: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (from, to) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(these)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(&from, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(to)
}

impl Lots {
    pub(super) fn new(errands: Errands) -> Self {
        Self { errands, state: Arc::default() }
    }

    /// Leaves a connection to be closed. How many descriptors are held: more and more only where
    /// the kernel has nothing left to seal them with.
    pub(super) fn leave(&self, uid: u32, connection: UnixStream) -> usize {
        let mut state = lock(&self.state);
        let apart = state.of.contains_key(&Some(uid)) || state.of.len() < MOST_USERS;
        let of = apart.then_some(uid);
        let begins = !state.of.contains_key(&of);
        state.of.entry(of).or_default().held.push(connection);
        let held = |state: &State| state.of.values().map(|lot| lot.held.len()).sum();
        if held(&state) > MOST_HELD {
            state.of.values_mut().for_each(|lot| drop(lot.seal()));
        }
        let held = held(&state);
        drop(state);
        if begins {
            let state = Arc::clone(&self.state);
            self.errands.run(uid, move || close_all(&state, of));
        }
        held
    }

    /// Whether something is still to be closed.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).of.is_empty()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what there is of a user's, and what comes meanwhile.
fn close_all(state: &Mutex<State>, of: Option<u32>) {
    loop {
        let mut all = lock(state);
        let Some(lot) = all.of.get_mut(&of).map(take) else { return };
        if lot.held.is_empty() && lot.sealed.is_none() {
            all.of.remove(&of);
            return;
        }
        drop(all);
        lot.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);

    /// How many descriptors this process has.
    fn open() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[tokio::test]
    async fn what_waits_for_ever_takes_no_descriptors_and_goes_with_what_it_waits_for() {
        let (errands, (go, waits)) = (Errands::of_the_turned_away(), channel::<()>());
        let lots = Lots::new(errands.clone());
        // Whoever is first holds up this user's thread.
        errands.run(7, move || assert!(waits.recv().is_err()));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = vec![theirs.into_std().unwrap()];
        lots.leave(7, ours);
        let before = open();
        for at in 1..1000 {
            let (ours, other) = UnixStream::pair().unwrap();
            let left = lots.leave(7, ours);
            assert!(left <= MOST_HELD, "{left}");
            if at % 100 == 0 {
                theirs.push(other.into_std().unwrap());
            }
        }
        let held = open() - before;
        assert!(held <= MOST_HELD + 1 + theirs.len(), "{held}");
        assert!(!lots.is_empty());
        // They are there as long as they are not closed.
        for stream in &theirs {
            stream.set_nonblocking(true).unwrap();
            let read = Read::read(&mut &*stream, &mut [0; 1]);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        drop(go);
        let begun = Instant::now();
        while !lots.is_empty() {
            assert!(begun.elapsed() < LONG, "they are closed");
            std::thread::sleep(Duration::from_millis(5));
        }
        for stream in &theirs {
            assert_eq!(Read::read(&mut &*stream, &mut [0; 1]).unwrap(), 0);
        }
        drop(theirs);
        assert!(open() <= before, "{} of {before}", open());
    }

    #[tokio::test]
    async fn very_many_users_share_what_is_left() {
        let (errands, (go, waits)) = (Errands::of_the_turned_away(), channel::<()>());
        let waits = Arc::new(Mutex::new(waits));
        for uid in 0..100 {
            let waits = Arc::clone(&waits);
            errands.run(uid, move || assert!(waits.lock().unwrap().recv().is_err()));
        }
        let lots = Lots::new(errands);
        let before = open();
        for uid in 0..1000 {
            lots.leave(uid, UnixStream::pair().unwrap().0);
        }
        let held = open() - before;
        assert!(held <= MOST_HELD + MOST_USERS + 1, "{held}");
        drop(go);
        let begun = Instant::now();
        while !lots.is_empty() {
            assert!(begun.elapsed() < LONG, "they are closed");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(open() <= before, "{} of {before}", open());
    }
}
