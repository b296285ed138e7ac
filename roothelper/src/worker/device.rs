//! What a worker works on: a block device (or an image file), held open.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Advice, OFlags};

/// An open device. Whoever holds it holds all that was given into its care, until the last
/// worker on it is gone.
#[derive(Debug, Clone)]
pub struct Device {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    reading: OwnedFd,
    writing: Option<OwnedFd>,
    _held: Box<dyn Held>,
}

/// A lock, or what else must live as long as a worker does.
trait Held: Send + Sync + Any {}

impl<T: Send + Sync + Any> Held for T {}

impl std::fmt::Debug for dyn Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("held")
    }
}

impl Device {
    /// A device that is looked at. `held` lives as long as it is in use: put into it what
    /// keeps others off the device, since a worker may outlive the question it was asked.
    pub fn reading(reading: OwnedFd, held: impl Send + Sync + 'static) -> Self {
        Self { open: Arc::new(Open { reading, writing: None, _held: Box::new(held) }) }
    }

    /// A device that is changed: opened for reading alone, and, on its own, for both.
    pub fn writing(reading: OwnedFd, writing: OwnedFd, held: impl Send + Sync + 'static) -> Self {
        let writing = Some(writing);
        Self { open: Arc::new(Open { reading, writing, _held: Box::new(held) }) }
    }

    pub(super) fn to_read(&self) -> BorrowedFd<'_> {
        self.open.reading.as_fd()
    }

    pub(super) fn to_write(&self) -> Option<BorrowedFd<'_>> {
        self.open.writing.as_ref().map(AsFd::as_fd)
    }

    /// Sees to it that the next look is at the device, and not at what is kept of it in
    /// memory: everything is written out and forgotten, and reads go past the page cache
    /// where the filesystem below an image file can do that.
    pub(super) fn look_past_the_cache(&self) -> io::Result<()> {
        if let Some(writing) = self.to_write() {
            rustix::fs::fdatasync(writing)?;
        }
        rustix::fs::fadvise(self.to_read(), 0, None, Advice::DontNeed)?;
        let flags = rustix::fs::fcntl_getfl(self.to_read())?;
        // What cannot be read directly is read from what was just forgotten.
        let _cached = rustix::fs::fcntl_setfl(self.to_read(), flags | OFlags::DIRECT);
        Ok(())
    }

    /// Back to reads by way of the page cache.
    pub(super) fn look_at_the_cache(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(self.to_read())?;
        Ok(rustix::fs::fcntl_setfl(self.to_read(), flags - OFlags::DIRECT)?)
    }
}
