//! Who asks: the process at the other end of a connection, as the kernel reports it.
//!
//! Nothing that a client sends has a part in it. The process is held by its pidfd, so that
//! another one that gets its number is not taken for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::Pid;

use crate::kernel::peer_pidfd;
use crate::{NotAnOwner, OwnerUid};

/// A process that asks, with the rights that it had when it connected.
#[derive(Debug, Clone)]
pub struct Caller {
    uid: OwnerUid,
    pid: Pid,
    pidfd: Arc<OwnedFd>,
}

/// Why a peer is nobody who may ask.
#[derive(Debug, thiserror::Error)]
pub enum NotACaller {
    /// The user cannot own anything.
    #[error(transparent)]
    NotAnOwner(#[from] NotAnOwner),
    /// The kernel does not tell who it is.
    #[error("the kernel does not tell who asks")]
    Nobody(#[source] std::io::Error),
    /// The kernel gives no hold of the process.
    #[error("the kernel gives no hold of the process that asks; Linux 6.5 is needed")]
    NoPidfd(#[source] std::io::Error),
    /// The process has ended.
    #[error("the process that asked has ended")]
    Dead,
}

impl Caller {
    /// A process of this user, held by its pidfd.
    #[must_use]
    pub fn new(uid: OwnerUid, pid: Pid, pidfd: OwnedFd) -> Self {
        Self { uid, pid, pidfd: Arc::new(pidfd) }
    }

    /// The process that connected to this socket, while it lives.
    ///
    /// # Errors
    /// When it is root, an unmapped user, dead, or when the kernel is too old to tell.
    pub fn of(socket: impl AsFd) -> Result<Self, NotACaller> {
        let peer = socket_peercred(&socket).map_err(|error| NotACaller::Nobody(error.into()))?;
        let uid = OwnerUid::new(peer.uid.as_raw())?;
        let pidfd = peer_pidfd(socket.as_fd()).map_err(|error| match error.raw_os_error() {
            // What the kernel says of a process that is gone already.
            Some(ESRCH | EINVAL) => NotACaller::Dead,
            _ => NotACaller::NoPidfd(error),
        })?;
        let caller = Self::new(uid, peer.pid, pidfd);
        if caller.is_alive() { Ok(caller) } else { Err(NotACaller::Dead) }
    }

    /// Whose rights it has.
    #[must_use]
    pub const fn uid(&self) -> OwnerUid {
        self.uid
    }

    /// Its number, for polkit and the log. Only while [`Caller::is_alive`] it is its own.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// The hold of it.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether the process has not ended. A zombie has.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut waited = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // Readable is ended; so is everything that cannot be asked.
        matches!(poll(&mut waited, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();
const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Child, Command, Stdio};

    use rustix::process::{PidfdFlags, Uid, geteuid, getpid, pidfd_open};
    use rustix::thread::set_thread_res_uid;

    use super::*;

    fn child() -> Child {
        Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_caller_lives_until_its_process_ends_also_as_a_zombie() {
        let mut child = child();
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let caller = Caller::new(OwnerUid::new(1000).unwrap(), pid, pidfd);
        assert!(caller.is_alive());
        child.kill().unwrap();
        // Until its end is told, and not waited for: what is left then is a zombie.
        let mut waited = [PollFd::from_borrowed_fd(caller.pidfd(), PollFlags::IN)];
        poll(&mut waited, None).unwrap();
        assert!(!caller.is_alive());
        child.wait().unwrap();
        assert!(!caller.is_alive());
    }

    /// What a server sees of a process that connects as `uid`; root's tests choose it, an
    /// ordinary user's cannot.
    fn seen_as(uid: u32) -> Result<Caller, NotACaller> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        for open in [folder.path(), &path] {
            std::fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        }
        // Only this thread's rights change; the kernel takes those at connect().
        let client = std::thread::spawn(move || {
            if geteuid().is_root() {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).unwrap();
            }
            UnixStream::connect(path).unwrap()
        });
        let _client = client.join().unwrap();
        Caller::of(listener.accept().unwrap().0)
    }

    #[test]
    fn an_ordinary_user_is_a_caller_and_others_are_refused() {
        let ours = geteuid();
        let uid = if ours.is_root() { 12_345 } else { ours.as_raw() };
        let caller = seen_as(uid).unwrap();
        assert_eq!(caller.uid().get(), uid);
        assert_eq!(caller.pid(), getpid());
        assert!(caller.is_alive());
        if !ours.is_root() {
            return;
        }
        for uid in [0, 65_534, 65_535, 1 << 31, u32::MAX - 1] {
            let refused = seen_as(uid).unwrap_err();
            assert!(matches!(refused, NotACaller::NotAnOwner(_)), "{uid}: {refused}");
        }
    }

    #[test]
    fn a_process_that_connected_and_ended_is_no_caller() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        for open in [folder.path(), &path] {
            std::fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        }
        let connect = "import socket, os, sys\n\
            if os.geteuid() == 0: os.setuid(12345)\n\
            socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
        let ended = Command::new("python3").args(["-c", connect]).arg(&path).status().unwrap();
        assert!(ended.success());
        let (server, _) = listener.accept().unwrap();
        let refused = Caller::of(server).unwrap_err();
        assert!(matches!(refused, NotACaller::Dead), "{refused}");
    }
}
