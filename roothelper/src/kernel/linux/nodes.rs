//! Nodes of devices, found by their numbers: no name that others could make leads anywhere.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub(super) use banger_proto::roothelper::Diskseq;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};

use super::patience;
use crate::OwnerUid;
use crate::kernel::device::{DeviceNumber, LoopNumber};

/// What is told of a device by its number.
const ABOUT: &str = "/sys/dev/block";
/// What udev keeps of the devices that it has looked at.
const UDEV: &str = "/run/udev";
/// How long udev may take to look at a device.
const LOOKING: Duration = Duration::from_secs(10);
/// `BLKGETDISKSEQ`: `_IOR(0x12, 128, __u64)`.
const GET_DISKSEQ: u64 = 0x8008_1280;

/// The node's name: devtmpfs makes it, before the call that makes the device returns.
fn name(number: DeviceNumber) -> String {
    match LoopNumber::new(number.minor) {
        Some(of_loop) if of_loop.device() == number => of_loop.to_string(),
        _ => format!("dm-{}", number.minor),
    }
}

/// Opens the node of a device, and nothing that only has its name.
///
/// One component without a link is what `openat2` would be told, too, which systemd keeps from
/// services that may make no set-uid file: it cannot look into what that call is given.
pub(super) fn open(number: DeviceNumber, flags: OFlags) -> io::Result<OwnedFd> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let devices = rustix::fs::open("/dev", folder, Mode::empty())?;
    let alone = OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let node = rustix::fs::openat(devices, name(number), flags | alone, Mode::empty())?;
    stat(node.as_fd(), number)?;
    Ok(node)
}

/// What the node of a device is like, which must be this device's.
fn stat(node: BorrowedFd<'_>, number: DeviceNumber) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(node)?;
    let is_block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    if is_block && DeviceNumber::decode(stat.st_rdev) == number {
        return Ok(stat);
    }
    let what = format!("/dev/{} is not the device {number}", name(number));
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

/// The user that the node belongs to; `None` when there is none.
pub(super) fn owner(number: DeviceNumber) -> io::Result<Option<u32>> {
    match open(number, OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        node => Ok(Some(stat(node?.as_fd(), number)?.st_uid)),
    }
}

/// Makes an open node this user's alone, or root's.
pub(super) fn give(
    node: BorrowedFd<'_>,
    number: DeviceNumber,
    to: Option<OwnerUid>,
) -> io::Result<()> {
    let to = to.map_or(Uid::ROOT, |uid| Uid::from_raw(uid.get()));
    let own = |uid| rustix::fs::chownat(node, "", Some(uid), Some(Gid::ROOT), AtFlags::EMPTY_PATH);
    // Only an owner sets a mode, and by a name: what is open as a name alone has one here.
    own(Uid::ROOT)?;
    let here = format!("/proc/self/fd/{}", node.as_raw_fd());
    rustix::fs::chmodat(CWD, here, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    own(to)?;
    let now = stat(node, number)?;
    if now.st_uid == to.as_raw() && now.st_mode & 0o7777 == 0o600 {
        return Ok(());
    }
    let what = format!("/dev/{} changed its owner by itself", name(number));
    Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
}

/// Which disk an open device is.
pub(super) fn diskseq(device: BorrowedFd<'_>) -> io::Result<Option<Diskseq>> {
    let mut number = 0u64;
    // SAFETY: the number is ours, of the size that the call writes, and outlives it.
    let said =
        unsafe { libc::ioctl(device.as_raw_fd(), GET_DISKSEQ, std::ptr::from_mut(&mut number)) };
    if said != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Diskseq::new(number).ok())
}

/// A number that the kernel tells of a device; `None` when there is no such disk.
pub(super) fn told(number: DeviceNumber, what: &str) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(format!("{ABOUT}/{number}/{what}")) {
        // ENODEV: it goes just now.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ENODEV) =>
        {
            Ok(None)
        }
        text => Ok(text?.trim().parse().ok()),
    }
}

/// Whether udev has looked at the device, and has nothing to look at now.
pub(super) fn udev_is_done(number: DeviceNumber) -> bool {
    let udev = Path::new(UDEV);
    if !udev.join("control").exists() {
        return true;
    }
    let kept = udev.join("data").join(format!("b{number}"));
    patience(LOOKING, || (kept.exists() && !udev.join("queue").exists()).then_some(())).is_some()
        // Others keep it busy, and it has seen this one.
        || kept.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_device_itself_is_opened() {
        let null = rustix::fs::open("/dev/null", OFlags::PATH, Mode::empty()).unwrap();
        let number = DeviceNumber { major: 1, minor: 3 };
        assert_eq!(stat(null.as_fd(), number).unwrap_err().kind(), io::ErrorKind::NotFound);
        let loops = LoopNumber::new(1_000_007).unwrap();
        assert_eq!(name(loops.device()), "loop1000007");
        assert_eq!(name(DeviceNumber { major: 253, minor: 1_000_007 }), "dm-1000007");
        assert_eq!(name(DeviceNumber { major: 253, minor: 4 }), "dm-4");
    }

    #[test]
    fn a_disk_that_is_not_there_tells_nothing() {
        assert_eq!(told(DeviceNumber { major: 4095, minor: 9 }, "diskseq").unwrap(), None);
        assert_eq!(GET_DISKSEQ, 2 << 30 | 8 << 16 | 0x12 << 8 | 128);
    }
}
