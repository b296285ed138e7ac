//! The lists that device-mapper answers with.

use super::message::Message;
use crate::kernel::device::DeviceNumber;

/// An entry's own uuid follows.
const HAS_UUID: u32 = 1;

/// The uuids of a list of devices: `struct dm_name_list`, the name, and on eight bytes a
/// counter, flags and the uuid.
pub(super) fn uuids(message: &Message) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = message.data();
    // Each is a step forward, and the message ends.
    while let (Some(device), Some(next)) = (message.u64(at), message.u32(at.saturating_add(8))) {
        // An empty list is one entry of zeroes.
        if device == 0 {
            break;
        }
        let name = at + 12;
        let behind = (name + message.text(name).len() + 1).next_multiple_of(8);
        if message.u32(behind + 4).is_some_and(|flags| flags & HAS_UUID != 0) {
            found.push(message.text(behind + 8));
        }
        if next == 0 {
            break;
        }
        at = at.saturating_add(next as usize);
    }
    found
}

/// The devices of a list of those below: `struct dm_target_deps`.
pub(super) fn below(message: &Message) -> Vec<DeviceNumber> {
    let data = message.data();
    let count = message.u32(data).unwrap_or(0) as usize;
    (0..count)
        .map_while(|index| message.u64(data.checked_add(8 + 8 * index)?))
        .map(DeviceNumber::decode)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as the kernel writes it, which begins on eight bytes: as the header ends.
    fn entry(name: &str, uuid: Option<&str>, last: bool) -> Vec<u8> {
        let mut entry = 0xfd00u64.to_ne_bytes().to_vec();
        entry.extend([0; 4]);
        entry.extend(name.as_bytes());
        entry.push(0);
        entry.resize(entry.len().next_multiple_of(8), 0);
        entry.extend(0u32.to_ne_bytes());
        entry.extend(u32::from(uuid.is_some()).to_ne_bytes());
        entry.extend(uuid.unwrap_or_default().as_bytes());
        entry.push(0);
        entry.resize(entry.len().next_multiple_of(8), 0);
        let next = if last { 0 } else { u32::try_from(entry.len()).unwrap() };
        entry[8..12].copy_from_slice(&next.to_ne_bytes());
        entry
    }

    #[test]
    fn uuids_are_read_whatever_the_names_are_long() {
        for length in 0..9 {
            let name = "n".repeat(length);
            let list = [
                entry(&name, Some("BANGER-1"), false),
                entry("other", None, false),
                entry("last", Some("LVM-2"), true),
            ];
            assert_eq!(uuids(&Message::answer(&list.concat())), ["BANGER-1", "LVM-2"]);
        }
        assert_eq!(uuids(&Message::answer(&[])), [""; 0]);
    }

    #[test]
    fn a_broken_list_ends() {
        let mut far = entry("a", Some("u"), false);
        far[8..12].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(uuids(&Message::answer(&far)), ["u"]);
        let mut short = entry("a", Some("u"), false);
        short[8..12].copy_from_slice(&1u32.to_ne_bytes());
        assert!(uuids(&Message::answer(&short)).len() <= 16 << 10);
    }

    #[test]
    fn those_below_are_as_many_as_there_are() {
        let number = |minor| rustix::fs::makedev(7, minor).to_ne_bytes();
        let list = [2u64.to_ne_bytes(), number(1_000_000), number(3)].concat();
        let found = below(&Message::answer(&list));
        assert_eq!(found, [1_000_000, 3].map(|minor| DeviceNumber { major: 7, minor }));
        assert!(below(&Message::answer(&u64::MAX.to_ne_bytes())).len() < 16 << 10);
    }
}
