//! Who works on a disk: one who changes it, or many who read it.
//!
//! The lock is advisory, on the open file, and goes with it. VMMs have locks of their own.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::DiskError;

/// How long somebody else's work on a disk is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a file is claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is read.
    Shared,
    /// It is changed.
    Alone,
}

/// Claims a file until it is closed; false when somebody else has it.
///
/// # Errors
/// What the system said.
pub(crate) fn claim(file: &File, how: Claim) -> io::Result<bool> {
    let operation = match how {
        Claim::Shared => FlockOperation::NonBlockingLockShared,
        Claim::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(false),
            // A filesystem without locks: there is nobody to ask.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Claims a disk of a VM's for a change; a `banger ext4` that looks at it is waited for.
///
/// # Errors
/// [`DiskError::InUse`] when it does not end.
pub(super) fn alone(file: &File, path: &Path) -> Result<(), DiskError> {
    let begun = Instant::now();
    while !claim(file, Claim::Alone).map_err(DiskError::file("lock", path))? {
        if begun.elapsed() > PATIENCE {
            return Err(DiskError::InUse { path: path.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
