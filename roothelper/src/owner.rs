//! Who may own objects: an ordinary user, by the uid that the kernel reports.

use std::fmt;

/// The uid of an ordinary user.
///
/// uid 0 passes every polkit rule and set-uid programs connect as it; uids above
/// 2^31 - 1 were taken for negative ones elsewhere; the overflow uid stands for any uid that
/// a user namespace does not map. None of them can own anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerUid(u32);

/// Why a uid cannot own objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOwner {
    /// Root asked.
    #[error("root cannot use the helper; ask as the ordinary user whose VMs these are")]
    Root,
    /// The uid is not one that accounts have.
    #[error("uid {0} is above 2147483647")]
    OutOfRange(u32),
    /// The peer's uid is not mapped here.
    #[error("uid {0} is the overflow uid, which stands for no user in particular")]
    Overflow(u32),
}

impl OwnerUid {
    /// The kernel's default overflow uid (`/proc/sys/kernel/overflowuid`), `nobody`.
    const OVERFLOW: u32 = 65_534;
    /// The same in 16 bits' all-ones form, as old filesystems report it.
    const OVERFLOW_16: u32 = 65_535;

    /// Checks a uid that came from the socket.
    ///
    /// # Errors
    /// Names the reason when the uid cannot own objects.
    pub const fn new(uid: u32) -> Result<Self, NotAnOwner> {
        match uid {
            0 => Err(NotAnOwner::Root),
            Self::OVERFLOW | Self::OVERFLOW_16 => Err(NotAnOwner::Overflow(uid)),
            1..=0x7fff_ffff => Ok(Self(uid)),
            _ => Err(NotAnOwner::OutOfRange(uid)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for OwnerUid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_users_own_and_nobody_else() {
        assert_eq!(OwnerUid::new(1000).unwrap().get(), 1000);
        assert!(OwnerUid::new(0x7fff_ffff).is_ok());
        assert_eq!(OwnerUid::new(0), Err(NotAnOwner::Root));
        assert_eq!(OwnerUid::new(65_534), Err(NotAnOwner::Overflow(65_534)));
        for uid in [1 << 31, u32::MAX, u32::MAX - 1] {
            assert_eq!(OwnerUid::new(uid), Err(NotAnOwner::OutOfRange(uid)));
        }
    }
}
