//! Messages to and from device-mapper: `struct dm_ioctl`, then what a call needs or answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::kernel::device::DeviceNumber;

/// Bytes of `struct dm_ioctl`.
pub(super) const HEADER: usize = 312;
/// Bytes of a message at first, which all calls but long lists are content with.
const ROOM: usize = 16 << 10;
/// Bytes of the longest: more devices than all users may have.
const MOST: usize = 4 << 20;

// Where its fields are.
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const UUID: usize = 176;

/// The calls that are made, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    List = 2,
    Create = 3,
    Remove = 4,
    Suspend = 6,
    Status = 7,
    Load = 9,
    Deps = 11,
    TableStatus = 12,
    Versions = 13,
}

impl Call {
    /// `_IOWR(0xfd, number, struct dm_ioctl)`.
    pub(super) const fn number(self) -> u64 {
        3 << 30 | (HEADER as u64) << 16 | 0xfd << 8 | self as u64
    }
}

/// There is a table in use.
pub(super) const ACTIVE: u32 = 1 << 5;
/// There is a table that was loaded and is not in use.
pub(super) const INACTIVE: u32 = 1 << 6;
/// The answer had no room.
const BUFFER_FULL: u32 = 1 << 8;
/// The question is about the table that is not in use.
pub(super) const QUERY_INACTIVE: u32 = 1 << 12;
/// A list is to tell uuids, too.
pub(super) const WITH_UUIDS: u32 = 1 << 14;
/// It is to be removed with its last user; it will be.
pub(super) const DEFERRED_REMOVE: u32 = 1 << 17;

/// A message, as it is sent; once answered, as it came back.
#[derive(Debug, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of the interface's version 4 about no device in particular.
    pub(super) fn new() -> Self {
        let mut message = Self { bytes: vec![0; ROOM] };
        message.put(0, &4u32.to_ne_bytes());
        message.put(DATA_START, &(HEADER as u32).to_ne_bytes());
        message
    }

    /// The same about the device of this uuid, or in a list about those that begin so.
    pub(super) fn of(uuid: &str) -> Self {
        let mut message = Self::new();
        message.put(UUID, uuid.as_bytes());
        message
    }

    /// The same with a name: for making it.
    pub(super) fn name(mut self, name: &str) -> Self {
        self.put(NAME, name.as_bytes());
        self
    }

    pub(super) fn flags(mut self, flags: u32) -> Self {
        self.put(FLAGS, &flags.to_ne_bytes());
        self
    }

    /// The same with a table of one line: `struct dm_target_spec` and its parameters.
    pub(super) fn target(mut self, kind: &str, sectors: u64, parameters: &str) -> Self {
        // Each specification ends on eight bytes, and the text with a NUL.
        let next = (40 + parameters.len() + 1).next_multiple_of(8);
        self.put(TARGET_COUNT, &1u32.to_ne_bytes());
        self.put(HEADER + 8, &sectors.to_ne_bytes());
        self.put(HEADER + 20, &(next as u32).to_ne_bytes());
        self.put(HEADER + 24, kind.as_bytes());
        self.put(HEADER + 40, parameters.as_bytes());
        self
    }

    /// Writes into the message; what does not fit is left out, and every text is shorter than
    /// its field.
    fn put(&mut self, at: usize, value: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    }

    pub(super) fn u32(&self, at: usize) -> Option<u32> {
        let four = self.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(four.try_into().ok()?))
    }

    pub(super) fn u64(&self, at: usize) -> Option<u64> {
        let eight = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(eight.try_into().ok()?))
    }

    /// The text at a place, to its NUL.
    pub(super) fn text(&self, at: usize) -> &str {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// Where what the call answers begins.
    pub(super) fn data(&self) -> usize {
        self.u32(DATA_START).map_or(usize::MAX, |start| start as usize)
    }

    pub(super) fn flag(&self, flag: u32) -> bool {
        self.u32(FLAGS).unwrap_or(0) & flag != 0
    }

    pub(super) fn open_count(&self) -> u32 {
        self.u32(OPEN_COUNT).unwrap_or(0)
    }

    pub(super) fn targets(&self) -> u32 {
        self.u32(TARGET_COUNT).unwrap_or(0)
    }

    pub(super) fn device(&self) -> DeviceNumber {
        DeviceNumber::decode(self.u64(DEVICE).unwrap_or(0))
    }

    /// Makes the call; its answer has as much room as it needs.
    pub(super) fn send(self, control: &impl AsFd, call: Call) -> io::Result<Self> {
        let mut room = ROOM;
        loop {
            let mut message = self.clone();
            message.bytes.resize(room, 0);
            message.put(DATA_SIZE, &(room as u32).to_ne_bytes());
            // SAFETY: the message is ours and outlives the call; one of its fields tells the
            // kernel how long it is, and the kernel, which copies it in and out, goes no further
            // and asks for no alignment.
            let said = unsafe {
                libc::ioctl(
                    control.as_fd().as_raw_fd(),
                    call.number(),
                    message.bytes.as_mut_ptr().cast::<libc::c_void>(),
                )
            };
            if said != 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            if !message.flag(BUFFER_FULL) {
                return Ok(message);
            }
            room *= 4;
            if room > MOST {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
    }
}

#[cfg(test)]
impl Message {
    /// An answer with these bytes behind the header.
    pub(super) fn answer(data: &[u8]) -> Self {
        let mut message = Self::new();
        message.put(HEADER, data);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_kernels_header() {
        // DM_DEV_CREATE, DM_LIST_VERSIONS.
        assert_eq!(Call::Create.number(), 0xc138_fd03);
        assert_eq!(Call::Versions.number(), 0xc138_fd0d);
    }

    #[test]
    fn a_table_lies_behind_the_header_as_the_kernel_reads_it() {
        let message = Message::of("BANGER-1-x").target("snapshot", 2048, "7:1 7:2 P 8");
        assert_eq!(message.u32(0), Some(4));
        assert_eq!((message.data(), message.targets()), (HEADER, 1));
        assert_eq!(message.text(UUID), "BANGER-1-x");
        assert_eq!((message.u64(HEADER), message.u64(HEADER + 8)), (Some(0), Some(2048)));
        assert_eq!(message.u32(HEADER + 20), Some(56));
        assert_eq!(message.text(HEADER + 24), "snapshot");
        assert_eq!(message.text(HEADER + 40), "7:1 7:2 P 8");
    }

    #[test]
    fn what_is_beyond_the_message_is_nothing() {
        let message = Message::new();
        for at in [ROOM - 3, ROOM, usize::MAX] {
            assert_eq!((message.u32(at), message.u64(at), message.text(at)), (None, None, ""));
        }
    }
}
