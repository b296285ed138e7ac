//! A thread that waits in the kernel, woken there.

use std::io;

use rustix::process::{Pid, getpid};

/// The signal that wakes it; its handler does nothing.
pub(crate) const WAKING: i32 = libc::SIGUSR1;

/// Has the kernel look up from what a thread of ours waits for, as far as that can be left: the
/// last close of a socket that lingers ends, one that waits for a FUSE server does not. There
/// must be a handler of [`WAKING`].
pub(crate) fn wake(thread: Pid) -> io::Result<()> {
    let (process, thread) = (getpid().as_raw_pid(), thread.as_raw_pid());
    // SAFETY: numbers alone; a thread that is none of this process's is an error.
    if unsafe { libc::syscall(libc::SYS_tgkill, process, thread, WAKING) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
