//! The targets that device-mapper has.

use std::os::fd::OwnedFd;

use super::TARGET;
use super::message::{Call, Message};
use crate::kernel::Seen;

/// The targets of an answered message: `struct dm_target_versions`, each with the distance to
/// the next, three numbers of its version, and its name.
fn targets(message: &Message) -> Vec<(&str, [u32; 3])> {
    let mut found = Vec::new();
    let mut at = message.data();
    // Each is a step forward, and the message ends.
    while let Some(next) = message.u32(at) {
        let version = [4, 8, 12].map(|field| message.u32(at + field).unwrap_or(0));
        found.push((message.text(at + 16), version));
        if next == 0 {
            break;
        }
        at = at.saturating_add(next as usize);
    }
    found
}

/// The snapshot target's version.
pub(in crate::kernel::linux) fn snapshot_target(control: &OwnedFd) -> Seen {
    let message = Message::new()
        .send(control, Call::Versions)
        .map_err(|error| format!("device-mapper: {error}"))?;
    match targets(&message).into_iter().find(|(name, _)| *name == TARGET) {
        Some((_, [major, minor, patch])) => Ok(format!("{TARGET} {major}.{minor}.{patch}")),
        None => Err("device-mapper has no snapshot target: sudo modprobe dm_snapshot".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[(u32, [u32; 3], &str)]) -> Message {
        let mut data = Vec::new();
        for (next, version, name) in rows {
            data.extend(next.to_ne_bytes());
            version.iter().for_each(|number| data.extend(number.to_ne_bytes()));
            let mut field = name.as_bytes().to_vec();
            field.resize(24, 0);
            data.extend(field);
        }
        Message::answer(&data)
    }

    #[test]
    fn targets_are_read_and_a_broken_list_ends() {
        let rows = [(40, [1, 2, 3], "striped"), (40, [1, 16, 0], TARGET), (0, [1, 4, 0], "linear")];
        let message = answer(&rows);
        let names: Vec<_> = targets(&message).into_iter().map(|row| row.0).collect();
        assert_eq!(names, ["striped", "snapshot", "linear"]);
        let far = answer(&[(u32::MAX, [1, 0, 0], "error")]);
        assert_eq!(targets(&far).len(), 1);
        // Steps of one byte are steps, too.
        assert!(targets(&answer(&[(1, [0, 0, 0], "")])).len() <= 16 << 10);
    }
}
