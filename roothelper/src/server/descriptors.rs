//! The one descriptor that a connection may carry in its life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::kernel::Received;

/// Where the descriptor is.
#[derive(Debug, Default)]
enum State {
    /// None has come.
    #[default]
    Awaited,
    /// It waits for its call.
    Here(Received),
    /// A call took it.
    Spent,
}

/// The place of a connection's descriptor.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    state: Mutex<State>,
    too_many: AtomicBool,
}

/// More came than a connection may carry, or a control message was cut since it held more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many descriptors: a connection carries one, for one call")]
pub(super) struct TooMany;

impl Descriptors {
    /// Takes in what came. What is too much is let go.
    pub(super) fn receive(
        &self,
        descriptors: impl IntoIterator<Item = Received>,
    ) -> Result<(), TooMany> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for descriptor in descriptors {
            if !matches!(*state, State::Awaited) {
                *state = State::Spent;
                return Err(self.too_many());
            }
            *state = State::Here(descriptor);
        }
        Ok(())
    }

    /// Notes that more came than there may.
    pub(super) fn too_many(&self) -> TooMany {
        self.too_many.store(true, Ordering::Relaxed);
        TooMany
    }

    /// Whether more came than there may, which ended the connection.
    pub(super) fn had_too_many(&self) -> Option<TooMany> {
        self.too_many.load(Ordering::Relaxed).then_some(TooMany)
    }

    /// The descriptor, for a call: whether it is of use or not, there will be no other.
    pub(super) fn take(&self) -> Option<Received> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Spent) {
            State::Here(descriptor) => Some(descriptor),
            State::Awaited => {
                *state = State::Awaited;
                None
            }
            State::Spent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn descriptor() -> Received {
        OwnedFd::from(std::fs::File::open("/dev/null").unwrap()).into()
    }

    #[test]
    fn one_descriptor_for_one_call() {
        let place = Descriptors::default();
        assert!(place.take().is_none());
        assert_eq!(place.receive([descriptor()]), Ok(()));
        assert_eq!(place.receive([]), Ok(()));
        assert!(place.take().is_some());
        assert!(place.take().is_none());
        assert_eq!(place.receive([descriptor()]), Err(TooMany));
    }

    #[test]
    fn two_at_once_or_one_after_another_are_too_many_and_none_is_left() {
        let place = Descriptors::default();
        assert_eq!(place.had_too_many(), None);
        assert_eq!(place.receive([descriptor(), descriptor()]), Err(TooMany));
        assert_eq!(place.had_too_many(), Some(TooMany));
        assert!(place.take().is_none());
        let place = Descriptors::default();
        assert_eq!(place.receive([descriptor()]), Ok(()));
        assert_eq!(place.receive([descriptor()]), Err(TooMany));
        assert!(place.take().is_none());
    }
}
