//! Taps, by `/dev/net/tun`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::OwnerUid;
use crate::kernel::linux::control;

/// `IFF_TAP`, `IFF_NO_PI`, `IFF_VNET_HDR`: frames, bare but for the header that says what a VMM's card left to do.
const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
/// `IFF_TUN_EXCL`: of an interface that is not there yet.
const EXCLUSIVE: u16 = 0x8000;

/// `struct ifreq`: a name, and of what follows the flags.
#[repr(C, align(8))]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

/// A tap that goes when this does.
#[derive(Debug)]
pub(super) struct Tap(OwnedFd);

impl Tap {
    /// Makes one that this user may open later.
    pub(super) fn make(name: &str, owner: OwnerUid) -> io::Result<Self> {
        let tap = Self::open(name, FLAGS | EXCLUSIVE)?;
        tap.set(libc::TUNSETOWNER, owner.get())?;
        Ok(tap)
    }

    /// Opens one that nobody has open (`EBUSY`): as long as this is there, nobody else can. Where there is none of the
    /// name, one is made that goes with this.
    pub(super) fn take(name: &str) -> io::Result<Self> {
        Self::open(name, FLAGS)
    }

    fn open(name: &str, flags: u16) -> io::Result<Self> {
        let control = control("/dev/net/tun", (10, 200)).map_err(io::Error::other)?;
        let mut request = Request { name: [0; _], flags, rest: [0; _] };
        // With a zero behind the name, which ends it.
        if name.is_empty() || name.len() >= request.name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.name.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: the request is ours, of the size and alignment of `struct ifreq`, and outlives the call, which may write
        // the name into it.
        let said = unsafe {
            libc::ioctl(control.as_raw_fd(), libc::TUNSETIFF, std::ptr::from_mut(&mut request))
        };
        if said != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(control))
    }

    /// Lets it stay.
    pub(super) fn keep(self) -> io::Result<()> {
        self.set(libc::TUNSETPERSIST, 1)
    }

    fn set(&self, what: libc::Ioctl, value: u32) -> io::Result<()> {
        // SAFETY: these two take a number and no pointer.
        let said = unsafe { libc::ioctl(self.0.as_raw_fd(), what, libc::c_ulong::from(value)) };
        if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_that_of_the_kernels_header() {
        assert_eq!(size_of::<Request>(), size_of::<libc::ifreq>());
        assert_eq!(align_of::<Request>(), align_of::<libc::ifreq>());
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
        assert_eq!(i32::from(FLAGS | EXCLUSIVE), flags);
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_none() {
        let owner = OwnerUid::new(1000).unwrap();
        for name in ["", "0123456789abcdef"] {
            assert!(Tap::make(name, owner).is_err(), "{name}");
        }
    }
}
