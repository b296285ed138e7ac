//! What came from a client, let go where nobody waits for it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Something that is not dropped where it stands, but handed to whom it was given to be let go.
pub struct Elsewhere<T> {
    value: ManuallyDrop<T>,
    let_go: Option<Box<dyn FnOnce(T) + Send + Sync>>,
}

/// A descriptor of somebody else's making. Closing one waits for whoever is behind it, for as
/// long as they like: a FUSE server that is told of it, a peer that a socket lingers for.
pub type Received = Elsewhere<OwnedFd>;

impl<T> Elsewhere<T> {
    /// Something that `let_go` drops, where waiting harms nobody.
    pub fn new(value: T, let_go: impl FnOnce(T) + Send + Sync + 'static) -> Self {
        Self { value: ManuallyDrop::new(value), let_go: Some(Box::new(let_go)) }
    }
}

impl<T: 'static> From<T> for Elsewhere<T> {
    /// Something of our own making, which may be dropped anywhere.
    fn from(value: T) -> Self {
        Self::new(value, drop)
    }
}

impl<T> Deref for Elsewhere<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: AsFd> AsFd for Elsewhere<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.value.as_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Elsewhere<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and the field is not used after: it is being dropped.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        if let Some(let_go) = self.let_go.take() {
            let_go(value);
        }
    }
}
