//! The gate to the tap: this very program once more, which becomes bubblewrap and then Firecracker.
//!
//! Firecracker opens its tap by name, which takes the network namespace that the tap is in: the
//! host's, where every tap of the owner's can be asked for. So it gets a namespace of its own, as
//! every other VMM, and the one call that attaches a tap is answered here, once, with the tap
//! that bangerd opened. Whoever takes Firecracker over later gets ENOSYS.
//!
//! ```text
//! bangerd ── spawn ──> gate: listen(TUNSETIFF) ── the listener ──> bangerd
//!                      exec bubblewrap, exec Firecracker
//!                      ioctl(fd, TUNSETIFF, name) ··············> fd is the tap now: 0
//!                                                                 the listener is closed
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::filter::FILTER_DESCRIPTOR;
use crate::spawn::handed;
use crate::vmm::walls::INFO_DESCRIPTOR;

/// The argument that makes this program a gate.
pub(in crate::vmm) const ARGUMENT: &str = "gated-vmm";
/// Descriptors that bubblewrap is to find open.
pub(in crate::vmm) const KEPT: [RawFd; 2] = [INFO_DESCRIPTOR, FILTER_DESCRIPTOR];
/// ioctl(2)'s command that attaches a tap: `TUNSETIFF` of <linux/if_tun.h>.
const TUNSETIFF: u32 = 0x4004_54ca;

/// This program's arguments, up to the program that it becomes, which reads from `input`.
pub(super) fn around(input: &Path) -> Vec<OsString> {
    vec![ARGUMENT.into(), input.into(), "--".into()]
}

/// Hands the listener over on standard input and becomes the program. Returns only when that
/// fails, with the reason.
pub(in crate::vmm) fn become_vmm(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut words = arguments.into_iter();
    let input = words.next().map(PathBuf::from);
    let (Some(input), true, Some(program)) =
        (input, words.next().is_some_and(|word| word == "--"), words.next())
    else {
        return "its arguments make no sense".to_owned();
    };
    let handed = banger_unotify::listen(TUNSETIFF)
        .and_then(|listener| handed::send(io::stdin(), &(), &[listener]));
    if let Err(error) = handed {
        return format!("seccomp's notifications do not work, which Linux 5.9 has: {error}");
    }
    let input = match open_console(&input) {
        Ok(input) => input,
        Err(error) => return format!("cannot open {}: {error}", input.display()),
    };
    let name = Path::new(&program).file_name().unwrap_or_else(|| OsStr::new("vmm")).to_owned();
    let error = Command::new(&program).arg0(name).args(words).stdin(input).exec();
    format!("cannot start {}: {error}", Path::new(&program).display())
}

/// Opens what is typed, at both ends, so that its end is never seen.
pub(super) fn open_console(input: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).write(true).custom_flags(flags).open(input)
}

/// bangerd's side of it.
#[derive(Debug)]
pub(super) struct Gate {
    ours: UnixStream,
    tap: Option<OwnedFd>,
}

impl Gate {
    /// A gate to `tap`, and the end of its socket that the program gets as its standard input.
    pub(super) fn new(tap: Option<OwnedFd>) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        if let Some(tap) = &tap {
            // As Firecracker opens it. It is the opening's, and goes along with it.
            fcntl_setfl(tap, fcntl_getfl(tap)? | OFlags::NONBLOCK)?;
        }
        Ok((Self { ours: UnixStream::from_std(ours)?, tap }, theirs.into()))
    }

    /// Gives the tap to the program when it asks for one. From there on nobody gets any.
    pub(super) async fn open_once(self) -> io::Result<()> {
        let receive = || handed::receive::<()>(self.ours.as_fd());
        let ((), mut handed) = self.ours.async_io(Interest::READABLE, receive).await?;
        let (Some(listener), Some(tap)) = (handed.pop(), self.tap) else { return Ok(()) };
        #[expect(
            deprecated,
            reason = "the other form takes unsafe code; an owned descriptor is what it asks for"
        )]
        let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
        let call = listener
            .async_io(Interest::READABLE, |listener| banger_unotify::receive(listener))
            .await?;
        let [descriptor, command, ..] = call.arguments;
        if (call.number, command & u64::from(u32::MAX))
            != (banger_unotify::IOCTL, u64::from(TUNSETIFF))
        {
            return Err(io::Error::other("another call was told of than was asked for"));
        }
        // The kernel takes a descriptor's number as 32 bits.
        let number = (descriptor & u64::from(u32::MAX)) as u32;
        let given = banger_unotify::replace_descriptor(&listener, &call, number, tap);
        let failed = given.as_ref().err().and_then(io::Error::raw_os_error);
        let instead = failed.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)));
        banger_unotify::answer(&listener, &call, instead)?;
        given
    }
}
