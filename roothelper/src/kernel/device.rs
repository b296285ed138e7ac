//! What the kernel says of the devices that a VM's root filesystem is made of.

use std::fmt;

use banger_proto::roothelper::Diskseq;

use crate::Ownership;

/// A block device, as its node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From the form in which the kernel's structures have it, which is that of `stat`.
    #[must_use]
    pub const fn decode(device: u64) -> Self {
        Self {
            major: (device >> 8 & 0xfff) as u32,
            minor: (device & 0xff | device >> 12 & 0xfff_ff00) as u32,
        }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

/// The number of a loop device of ours: others take low ones, and udev's rules know this range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopNumber(u32);

impl LoopNumber {
    /// The driver of loop devices.
    pub const MAJOR: u32 = 7;
    const FIRST: u32 = 1_000_000;
    /// Minor numbers have 20 bits.
    const LAST: u32 = (1 << 20) - 1;

    /// The number, when it is of ours.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= Self::FIRST && number <= Self::LAST { Some(Self(number)) } else { None }
    }

    /// All of ours, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::FIRST..=Self::LAST).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The device that has it.
    #[must_use]
    pub const fn device(self) -> DeviceNumber {
        DeviceNumber { major: Self::MAJOR, minor: self.0 }
    }
}

impl fmt::Display for LoopNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "loop{}", self.0)
    }
}

/// A file, as long as somebody has it open: its filesystem's number and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// What a loop device is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Whose device stands on it.
    pub of: Ownership,
    /// Whether it can be read only: the base image.
    pub read_only: bool,
    /// Bytes of the loop device, in whole sectors of 512.
    pub size: u64,
}

/// A loop device of ours, bound to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loop {
    /// Which.
    pub number: LoopNumber,
    /// Whose, as root wrote it; `None` where somebody else did.
    pub of: Option<Ownership>,
    /// The file below it.
    pub file: FileId,
    /// Whether it can be read only.
    pub read_only: bool,
    /// Bytes of it.
    pub size: u64,
}

/// How far a device came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It has a name, and nothing below it: there is no disk yet.
    Made,
    /// It stands on its loops, and was never resumed.
    Loaded,
    /// It is a disk.
    Active,
}

/// The device of a VM's root filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Whose.
    pub of: Ownership,
    /// Which.
    pub number: DeviceNumber,
    /// Which disk it is; there is none before it has a table.
    pub diskseq: Option<Diskseq>,
    /// How far it came.
    pub life: Life,
    /// Bytes of it.
    pub size: u64,
    /// How often it is open, by programs and by other devices.
    pub open: u32,
    /// The user that its node belongs to: 0, but while it is lent. None without a disk.
    pub node_owner: Option<u32>,
    /// Its removal waits for the last user.
    pub removal_pending: bool,
    /// The kernel gave it up, with all that was written.
    pub invalid: bool,
}

/// What became of a device that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was not there.
    Done,
    /// Somebody opened it just now: it goes with the last of them.
    Pending,
}

/// What a device is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be looked at.
    Read,
    /// To be changed, and looked at.
    Write,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_number_is_taken_apart_as_stat_has_it() {
        for (major, minor) in [(7, 0), (7, 1_000_000), (253, 300), (254, (1 << 20) - 1)] {
            let device = rustix::fs::makedev(major, minor);
            assert_eq!(DeviceNumber::decode(device), DeviceNumber { major, minor });
        }
    }

    #[test]
    fn only_loops_of_the_range_are_ours() {
        for other in [0, 7, 999_999, 1 << 20, u32::MAX] {
            assert_eq!(LoopNumber::new(other), None, "{other}");
        }
        assert_eq!(LoopNumber::new(1_000_000), LoopNumber::all().next());
        assert_eq!(LoopNumber::new(1_048_575), LoopNumber::all().last());
    }
}
