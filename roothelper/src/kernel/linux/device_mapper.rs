//! Device-mapper's control device.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::kernel::Seen;

/// `DM_LIST_VERSIONS`: `_IOWR(0xfd, 13, struct dm_ioctl)`.
const LIST_VERSIONS: u64 = 0xc138_fd0d;
/// Bytes of `struct dm_ioctl`.
const HEADER: usize = 312;
/// Bytes of the whole message; a target takes some thirty.
const ROOM: usize = 16 << 10;
/// The target that overlays are made of.
const TARGET: &str = "snapshot";

/// A message to and from device-mapper: `struct dm_ioctl`, then what the call answers.
#[repr(C, align(8))]
struct Message([u8; ROOM]);

impl Message {
    /// A message in the interface's version 4, of no device.
    fn new() -> Self {
        let mut bytes = [0; ROOM];
        let fields = [(0, 4), (12, ROOM as u32), (16, HEADER as u32)];
        for (at, value) in fields {
            put(&mut bytes, at, value);
        }
        Self(bytes)
    }
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value.to_ne_bytes()) {
        *to = from;
    }
}

fn get(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

/// The targets of an answered message: `struct dm_target_versions`, each with the distance to
/// the next, three numbers of its version, and its name.
fn targets(message: &[u8]) -> Vec<(String, [u32; 3])> {
    let mut found = Vec::new();
    let mut at = get(message, 16).map_or(usize::MAX, |start| start as usize);
    // Each is a step forward, and the message ends.
    while let Some(next) = get(message, at) {
        let version = [4, 8, 12].map(|field| get(message, at + field).unwrap_or(0));
        let name = message.get(at + 16..).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        found.push((String::from_utf8_lossy(name).into_owned(), version));
        if next == 0 {
            break;
        }
        at = at.saturating_add(next as usize);
    }
    found
}

/// The snapshot target's version.
pub(super) fn snapshot_target(control: &OwnedFd) -> Seen {
    let mut message = Message::new();
    // SAFETY: the message is ours and outlives the call; its third field tells the kernel how
    // long it is, so that the kernel writes no further; it is aligned as the structure is.
    let said = unsafe {
        libc::ioctl(control.as_raw_fd(), LIST_VERSIONS, std::ptr::from_mut(&mut message.0))
    };
    if said != 0 {
        return Err(format!("device-mapper: {}", io::Error::last_os_error()));
    }
    let found = targets(&message.0).into_iter().find(|(name, _)| name == TARGET);
    match found {
        Some((_, [major, minor, patch])) => Ok(format!("{TARGET} {major}.{minor}.{patch}")),
        None => Err("device-mapper has no snapshot target: sudo modprobe dm_snapshot".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[(u32, [u32; 3], &str)]) -> Vec<u8> {
        let mut bytes = Message::new().0.to_vec();
        let mut at = HEADER;
        for (next, version, name) in rows {
            put(&mut bytes, at, *next);
            for (field, number) in version.iter().enumerate() {
                put(&mut bytes, at + 4 + 4 * field, *number);
            }
            bytes[at + 16..at + 16 + name.len()].copy_from_slice(name.as_bytes());
            at += *next as usize;
        }
        bytes
    }

    #[test]
    fn targets_are_read_and_a_broken_list_ends() {
        let rows = [(40, [1, 2, 3], "striped"), (40, [1, 16, 0], TARGET), (0, [1, 4, 0], "linear")];
        let names: Vec<_> = targets(&answer(&rows)).into_iter().map(|row| row.0).collect();
        assert_eq!(names, ["striped", "snapshot", "linear"]);
        let far = [(u32::MAX, [1, 0, 0], "error")];
        assert_eq!(targets(&answer(&far)).len(), 1);
        // Steps of one byte are steps, too.
        assert!(targets(&answer(&[(1, [0, 0, 0], "")])).len() <= ROOM);
        assert_eq!(targets(&[]), []);
    }

    #[test]
    fn the_numbers_are_those_of_the_kernels_header() {
        // _IOC(read and write, 0xfd, 13, size).
        assert_eq!(LIST_VERSIONS, 3 << 30 | (HEADER as u64) << 16 | 0xfd << 8 | 13);
        assert_eq!(align_of::<Message>(), 8);
    }
}
