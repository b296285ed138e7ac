//! Starting a worker: our own program, its device, a socket, and nothing else.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::program::Arguments;
use super::{Account, Program, Role};

/// A worker that runs, not yet asked anything.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    /// By which it is ended: a number could be somebody else's by then.
    pub(super) pidfd: OwnedFd,
    pub(super) socket: UnixStream,
}

/// Starts a worker on a device. It ends with the thread that calls this.
///
/// # Errors
/// What the operating system says; no worker runs then.
pub(super) fn start(
    program: &Program,
    role: Role,
    account: Account,
    device: BorrowedFd<'_>,
    deadline: Duration,
) -> io::Result<Started> {
    // All of ours close by themselves, but one that did not would be the guest's.
    close_fds::set_fds_cloexec(3, &[]);
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let socket = UnixStream::from_std(ours)?;
    // It waits there for the worker to come.
    send_device(socket.as_fd(), device)?;
    let arguments = Arguments {
        role,
        account,
        parent: std::process::id().cast_signed(),
        // Rounded up, and one more: the clock on the wall comes first.
        seconds: u32::try_from(deadline.as_secs().saturating_add(2)).unwrap_or(u32::MAX),
    };
    let child = Command::new(format!("/proc/self/fd/{}", program.file().as_raw_fd()))
        .arg0(Arguments::NAME)
        .args(arguments.to_words())
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    // Nobody but us waits for it, so the number is its own until we do.
    let number = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pidfd = pidfd_open(number.ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
    Ok(Started { child, pidfd, socket })
}

fn send_device(socket: BorrowedFd<'_>, device: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [device];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
