//! A clean place to run in, whatever the starter left: first of all, while there is one thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::Mode;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

/// The first descriptor that systemd passes.
const FIRST: RawFd = 3;

/// Why the process cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum NotClean {
    /// Something of the system said no.
    #[error("cannot {0}")]
    System(&'static str, #[source] io::Error),
    /// The descriptor is none that can be served.
    #[error("descriptor 3 is not a listening unix socket")]
    NotAListener,
}

/// Forgets the environment, the working directory and every descriptor but the standard ones
/// and the socket that systemd passed; makes new files private and the process closed to
/// tracers of its own user.
///
/// # Errors
/// When one of these cannot be had: nothing is to be done then.
pub fn sanitise() -> Result<OwnedFd, NotClean> {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in names {
        // SAFETY: no other thread has been started that could look at the environment.
        unsafe { std::env::remove_var(name) };
    }
    std::env::set_current_dir("/").map_err(|error| NotClean::System("enter /", error))?;
    umask(Mode::from_raw_mode(0o077));
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| NotClean::System("shut tracers out", error.into()))?;
    // One arena for all threads: the memory of many would stay with the process.
    // SAFETY: a number for the allocator, which no thread uses at the same time.
    let _refused = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    close_all_but(FIRST).map_err(|error| NotClean::System("close descriptors", error))?;
    listener(FIRST)
}

/// Closes every descriptor from 3 on but this one.
fn close_all_but(kept: RawFd) -> io::Result<()> {
    let kept = kept.unsigned_abs();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if first > last {
            continue;
        }
        // SAFETY: nothing of ours has been opened yet that would be closed under its owner.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The socket behind a number that was passed.
fn listener(number: RawFd) -> Result<OwnedFd, NotClean> {
    // SAFETY: a number that is not open is an error, and nothing else.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(NotClean::NotAListener);
    }
    // SAFETY: it is open, and systemd passed it to this process, whose only owner of it this is.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let is_one = |socket: &OwnedFd| -> rustix::io::Result<bool> {
        Ok(socket_domain(socket.as_fd())? == AddressFamily::UNIX
            && socket_type(socket.as_fd())? == SocketType::STREAM
            && socket_acceptconn(socket.as_fd())?)
    };
    if matches!(is_one(&socket), Ok(true)) {
        Ok(socket)
    } else {
        // What is not ours to serve is not ours to close.
        let _left_open = std::os::fd::IntoRawFd::into_raw_fd(socket).as_raw_fd();
        Err(NotClean::NotAListener)
    }
}
