//! seccomp's user notifications: one process answers a system call of another's.
//!
//! ```text
//! the program: listen(COMMAND) ── the listener, over a socket ──> its supervisor
//!              ioctl(fd, COMMAND) ··· waits ···                   receive ─> Call
//!              its fd is the supervisor's descriptor              replace_descriptor
//!              0                                                  answer
//!              ioctl(fd, COMMAND): ENOSYS <── the listener is closed
//! ```
//!
//! A crate by itself since no library has this, and it takes unsafe code, which everything that
//! uses it forbids. See seccomp_unotify(2).

#![expect(unsafe_code, reason = "neither rustix nor a library that is kept speaks with these")]

mod filter;

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Numbers of calls, as a [`Call`] names them.
pub const IOCTL: i64 = libc::SYS_ioctl;

/// A system call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    id: u64,
    /// The kernel's number of the call.
    pub number: i64,
    /// Its arguments, as the processor's registers hold them.
    pub arguments: [u64; 6],
}

/// Lets nobody but the holder of what is returned answer this thread's later
/// `ioctl(_, command, _)`, and those of all it becomes or makes. Every other call goes on as
/// before. Sets no_new_privs, for good.
///
/// With the last copy of the listener closed, such a call fails with ENOSYS.
///
/// # Errors
/// What the kernel says: EBUSY where another listener is set already.
pub fn listen(command: u32) -> io::Result<OwnedFd> {
    rustix::thread::set_no_new_privs(true)?;
    let mut filter = filter::notify_of_ioctl(command);
    let len = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: the program points to `len` instructions that live until the call returns, and
    // the kernel only reads them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let listener = RawFd::try_from(result(listener)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for this process, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Takes the call that waits, and never waits for one itself, as the kernel would: before Linux
/// 6.6 even where nobody is left who could make any.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where none waits yet, [`io::ErrorKind::UnexpectedEof`] where
/// nobody is left, and what the kernel says: ENOENT where the caller was killed since.
pub fn receive(listener: impl AsFd) -> io::Result<Call> {
    let mut look = [PollFd::new(&listener, PollFlags::IN)];
    poll(&mut look, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    let [look] = look;
    if !look.revents().contains(PollFlags::IN) {
        let is_over = look.revents().contains(PollFlags::HUP);
        let why = if is_over { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::WouldBlock };
        return Err(why.into());
    }
    // SAFETY: the structure is integers alone, for which all zeros are a value.
    let mut told: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such structure, to where there is one.
    unsafe { ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) }?;
    Ok(Call { id: told.id, number: told.data.nr.into(), arguments: told.data.args })
}

/// Puts a copy of `with`, closed on exec, in place of the caller's descriptor `number`.
///
/// # Errors
/// What the kernel says: ENOENT where the caller is gone.
pub fn replace_descriptor(
    listener: impl AsFd,
    call: &Call,
    number: u32,
    with: impl AsFd,
) -> io::Result<()> {
    let mut order = libc::seccomp_notif_addfd {
        id: call.id,
        flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
        srcfd: with.as_fd().as_raw_fd().cast_unsigned(),
        newfd: number,
        newfd_flags: libc::O_CLOEXEC.cast_unsigned(),
    };
    // SAFETY: the kernel reads one such structure; both descriptors are open while it does.
    unsafe { ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut order) }
}

/// Lets the caller go on: the call was not made, and returned 0 or the error `instead`.
///
/// # Errors
/// What the kernel says: ENOENT where the caller is gone.
pub fn answer(listener: impl AsFd, call: &Call, instead: io::Result<()>) -> io::Result<()> {
    let error = match instead {
        Ok(()) => 0,
        Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
    };
    let mut response = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags: 0 };
    // SAFETY: the kernel reads one such structure.
    unsafe { ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) }
}

/// # Safety
/// `data` must be what the kernel expects of `command`.
unsafe fn ioctl<T>(listener: impl AsFd, command: libc::Ioctl, data: *mut T) -> io::Result<()> {
    let listener = listener.as_fd().as_raw_fd();
    loop {
        // SAFETY: as the caller says.
        match result(unsafe { libc::ioctl(listener, command, data) }.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

fn result(value: i64) -> io::Result<i64> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A pipe's readable end with `text` in it.
    fn with(text: &str) -> io::PipeReader {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        reader
    }

    fn text(mut reader: io::PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    fn next(listener: &OwnedFd) -> io::Result<Call> {
        loop {
            match receive(listener) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                received => return received,
            }
        }
    }

    #[test]
    fn who_has_ended_is_not_waited_for() {
        let walled = || thread::spawn(|| listen(libc::FIONBIO as u32).unwrap()).join().unwrap();
        let nobody = next(&walled()).unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_call_is_answered_once_with_another_descriptor() {
        let (told, listeners) = mpsc::channel();
        // A filter is its thread's, and of what that makes.
        let walled = thread::spawn(move || {
            told.send(listen(libc::FIONBIO as u32).unwrap()).unwrap();
            let asked = with("what was asked for");
            rustix::io::ioctl_fionbio(&asked, true).unwrap();
            let denied = rustix::io::ioctl_fionbio(&asked, true).unwrap_err();
            // Everything else goes on.
            rustix::io::ioctl_fioclex(&asked).unwrap();
            while rustix::io::ioctl_fionbio(&asked, true) != Err(rustix::io::Errno::NOSYS) {
                thread::yield_now();
            }
            (text(asked), denied)
        });
        let listener = listeners.recv().unwrap();
        let first = next(&listener).unwrap();
        assert_eq!((first.number, first.arguments[1]), (IOCTL, libc::FIONBIO));
        let number = u32::try_from(first.arguments[0]).unwrap();
        replace_descriptor(&listener, &first, number, with("what was given")).unwrap();
        answer(&listener, &first, Ok(())).unwrap();
        let second = next(&listener).unwrap();
        assert_ne!(first, second);
        answer(&listener, &second, Err(rustix::io::Errno::PERM.into())).unwrap();
        // An answer is one call's.
        assert!(answer(&listener, &second, Ok(())).is_err());
        drop(listener);
        let (got, denied) = walled.join().unwrap();
        assert_eq!((got.as_str(), denied), ("what was given", rustix::io::Errno::PERM));
        // This thread is as it was.
        rustix::io::ioctl_fionbio(with(""), true).unwrap();
    }
}
