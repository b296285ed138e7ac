//! The only place that starts a program, and what is known of a process afterwards.
//!
//! A program is started with a fixed environment, a chosen working directory, no
//! descriptors but those it is given, and a process group of its own, so that
//! neither the end of the daemon nor an interrupt from a terminal ends it. The
//! session and the umask are the daemon's own: its main calls [`settle`] before
//! any thread exists.
//!
//! A process is named by [`ProcessId`], which stays true when its number is used
//! again, and held by [`Process`], which can be waited for without being its parent.

pub(crate) mod handed;
mod launch;
mod process;
mod program;

pub(crate) use launch::Attempt;
pub use launch::{Environment, Launch, LaunchError, Started, settle};
pub use process::{Process, ProcessId};
pub use program::{
    BWRAP, FIRECRACKER, Finder, MMDEBSTRAP, Missing, PASST, PKCHECK, PROGRAMS, Program, QEMU,
    SETPRIV, SSH, SYSTEMCTL, UNSHARE, VIRTIOFSD,
};
