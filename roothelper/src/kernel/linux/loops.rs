//! Loop devices of our range.

use std::fs::read_dir;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::{control, nodes, patience};
use crate::kernel::device::{Binding, FileId, Loop, LoopNumber};
use crate::{Names, Ownership};

const ADD: u64 = 0x4c80;
const REMOVE: u64 = 0x4c81;
const CONFIGURE: u64 = 0x4c0a;
const GET_STATUS64: u64 = 0x4c05;

/// Bytes of `struct loop_info64`.
const INFO: usize = 232;
/// Bytes of `struct loop_config`: a descriptor, a block size, the above, eight numbers.
const CONFIG: usize = 8 + INFO + 64;
// Where fields of `struct loop_info64` are.
const DEVICE: usize = 0;
const INODE: usize = 8;
const SIZE_LIMIT: usize = 32;
const FLAGS: usize = 52;
const FILE_NAME: usize = 56;
/// Bytes of the name, with its NUL.
const NAME_SIZE: usize = 64;

const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
/// Bytes that a loop device counts in.
const BLOCK: u32 = 512;

/// How many devices may go between being made and being opened.
const VANISHED: u32 = 8;
/// How long a device that is let go may be held by who looks at it just then: udev.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How long clearing one may take.
const CLEARING: Duration = Duration::from_secs(1);
/// Where all block devices are.
const ALL: &str = "/sys/block";

fn loop_control() -> io::Result<OwnedFd> {
    control("/dev/loop-control", (10, 237)).map_err(io::Error::other)
}

/// Makes or removes a loop device.
fn change(control: &OwnedFd, call: u64, number: LoopNumber) -> io::Result<()> {
    loop {
        // SAFETY: the call takes a number and touches no memory of ours.
        let said =
            unsafe { libc::ioctl(control.as_raw_fd(), call, libc::c_ulong::from(number.get())) };
        if said >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

pub(super) fn claim() -> io::Result<(LoopNumber, OwnedFd)> {
    let control = loop_control()?;
    let mut vanished = 0;
    for number in LoopNumber::all() {
        match change(&control, ADD, number) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        match nodes::open(number.device(), OFlags::RDWR) {
            Ok(node) => return Ok((number, node)),
            // Somebody thought that nobody wanted it, which does not happen again and again.
            Err(error)
                if vanished < VANISHED
                    && (error.kind() == io::ErrorKind::NotFound
                        || error.raw_os_error() == Some(libc::ENXIO)) =>
            {
                vanished += 1;
            }
            Err(error) => {
                change(&control, REMOVE, number)?;
                return Err(error);
            }
        }
    }
    Err(io::ErrorKind::StorageFull.into())
}

/// `struct loop_config` of a binding.
fn config(file: BorrowedFd<'_>, binding: &Binding) -> [u8; CONFIG] {
    let mut config = [0; CONFIG];
    let flags = if binding.read_only { AUTOCLEAR | READ_ONLY } else { AUTOCLEAR };
    let name = Names::of(binding.of).dm_name;
    let fields: [(usize, &[u8]); 5] = [
        (0, &file.as_raw_fd().to_ne_bytes()),
        (4, &BLOCK.to_ne_bytes()),
        (8 + SIZE_LIMIT, &binding.size.to_ne_bytes()),
        (8 + FLAGS, &flags.to_ne_bytes()),
        (8 + FILE_NAME, name.as_bytes()),
    ];
    for (at, value) in fields {
        for (to, from) in config.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    }
    config
}

pub(super) fn bind(number: LoopNumber, file: BorrowedFd<'_>, binding: &Binding) -> io::Result<()> {
    let node = nodes::open(number.device(), OFlags::RDWR)?;
    let config = config(file, binding);
    // SAFETY: the structure is ours, of the size that the call reads, and outlives it; the file
    // that it names is open for as long.
    let said = unsafe { libc::ioctl(node.as_raw_fd(), CONFIGURE, config.as_ptr()) };
    if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn release(number: LoopNumber) -> io::Result<()> {
    let control = loop_control()?;
    let released = patience(LETTING_GO, || match change(&control, REMOVE, number) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => None,
        // Nobody has it; whoever removes it just now is not through while it is listed.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            (!is_listed(number)).then_some(Ok(()))
        }
        released => Some(released),
    });
    released.unwrap_or_else(|| Err(io::ErrorKind::ResourceBusy.into()))
}

fn is_listed(number: LoopNumber) -> bool {
    Path::new(ALL).join(format!("loop{}", number.get())).exists()
}

/// The numbers of ours that have a device, bound or not.
fn numbers() -> io::Result<Vec<LoopNumber>> {
    let mut found = Vec::new();
    for entry in read_dir(ALL)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
        found.extend(number.and_then(LoopNumber::new));
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn all() -> io::Result<Vec<Loop>> {
    let found: io::Result<Vec<_>> = numbers()?.into_iter().map(of_number).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// Those that are neither bound nor open go; the kernel knows which.
pub(super) fn release_strays() -> io::Result<usize> {
    let ours = numbers()?;
    if ours.is_empty() {
        return Ok(0);
    }
    let control = loop_control()?;
    let strays = ours.into_iter().filter(|&number| release_if_stray(&control, number));
    Ok(strays.count())
}

/// One that is neither bound nor free is being cleared, by the device that stood on it, or was
/// just claimed: which of the two shows in a moment.
fn release_if_stray(control: &OwnedFd, number: LoopNumber) -> bool {
    let released = patience(CLEARING, || match change(control, REMOVE, number) {
        Ok(()) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            (!matches!(of_number(number), Ok(None))).then_some(false)
        }
        Err(_) => Some(false),
    });
    released.unwrap_or(false)
}

/// What a loop device is bound to; `None` when it is not, or there is none.
pub(super) fn of_number(number: LoopNumber) -> io::Result<Option<Loop>> {
    let node = match nodes::open(number.device(), OFlags::RDONLY) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ENXIO) =>
        {
            return Ok(None);
        }
        node => node?,
    };
    let mut info = [0; INFO];
    // SAFETY: the structure is ours, of the size that the call writes, and outlives it.
    let said = unsafe { libc::ioctl(node.as_fd().as_raw_fd(), GET_STATUS64, info.as_mut_ptr()) };
    if said == 0 {
        return Ok(Some(read(number, &info)));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENXIO) { Ok(None) } else { Err(error) }
}

/// A loop device from its `struct loop_info64`.
fn read(number: LoopNumber, info: &[u8; INFO]) -> Loop {
    let u64_at = |at: usize| {
        let eight = info.get(at..at + 8).and_then(|eight| eight.try_into().ok());
        eight.map_or(0, u64::from_ne_bytes)
    };
    let name = info.get(FILE_NAME..FILE_NAME + NAME_SIZE).unwrap_or_default();
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let flags = info.get(FLAGS..FLAGS + 4).and_then(|four| four.try_into().ok());
    Loop {
        number,
        of: std::str::from_utf8(name).ok().and_then(Ownership::from_dm_name),
        file: FileId { device: u64_at(DEVICE), inode: u64_at(INODE) },
        read_only: flags.map_or(0, u32::from_ne_bytes) & READ_ONLY != 0,
        size: u64_at(SIZE_LIMIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerUid;

    #[test]
    fn what_is_bound_is_read_back_from_the_same_structure() {
        let of = Ownership {
            uid: OwnerUid::new(0x7fff_ffff).unwrap(),
            vm: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap(),
        };
        let number = LoopNumber::new(1_000_000).unwrap();
        let file = tempfile::tempfile().unwrap();
        for read_only in [true, false] {
            let binding = Binding { of, read_only, size: 7 << 20 };
            let config = config(file.as_fd(), &binding);
            assert_eq!(config[..4], file.as_raw_fd().to_ne_bytes());
            assert_eq!(config[4..8], 512u32.to_ne_bytes());
            // Only what is set is not 0: no offset, no scan of partitions.
            let mut info: [u8; INFO] = config[8..8 + INFO].try_into().unwrap();
            assert_eq!(info[FLAGS..FLAGS + 4], (4 + u32::from(read_only)).to_ne_bytes());
            info[..8].copy_from_slice(&5u64.to_ne_bytes());
            info[8..16].copy_from_slice(&6u64.to_ne_bytes());
            let file = FileId { device: 5, inode: 6 };
            let same = Loop { number, of: Some(of), file, read_only, size: 7 << 20 };
            assert_eq!(read(number, &info), same);
            // Somebody else's name.
            info[FILE_NAME] = b'x';
            assert_eq!(read(number, &info), Loop { of: None, ..same });
        }
    }
}
