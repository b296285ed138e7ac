//! Names for VMs whose user chose none.

use banger_proto::{VmId, VmName};

const ADJECTIVES: [&str; 32] = [
    "able", "bold", "brave", "brisk", "calm", "clever", "cosy", "eager", "fair", "fine", "fond",
    "glad", "happy", "jolly", "keen", "kind", "lively", "loyal", "merry", "mild", "neat", "nimble",
    "proud", "quick", "quiet", "ready", "shy", "sunny", "swift", "tidy", "warm", "witty",
];
const NOUNS: [&str; 32] = [
    "badger", "bear", "beaver", "crane", "crow", "deer", "dove", "eagle", "ermine", "falcon",
    "finch", "fox", "goose", "hare", "heron", "ibex", "jay", "koala", "lark", "lynx", "marten",
    "mole", "moose", "newt", "otter", "owl", "panda", "raven", "robin", "seal", "swan", "wren",
];

/// A name made of an id: an adjective and a noun, with a number after the first `attempt`.
pub(super) fn made_up(id: VmId, attempt: u32) -> Option<VmName> {
    let [first, second, ..] = id.as_bytes();
    let pick =
        |words: &[&'static str], byte: u8| words.get(usize::from(byte) % words.len()).copied();
    let (adjective, noun) = (pick(&ADJECTIVES, *first)?, pick(&NOUNS, *second)?);
    let name = match attempt {
        0 => format!("{adjective}-{noun}"),
        number => format!("{adjective}-{noun}-{number}"),
    };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_made_up_name_is_a_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                assert!(format!("{adjective}-{noun}-4294967295").parse::<VmName>().is_ok());
            }
        }
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        assert_eq!(made_up(id, 0).unwrap().as_str(), "eager-deer");
        assert_eq!(made_up(id, 2).unwrap().as_str(), "eager-deer-2");
        assert_ne!(made_up(id, 0), made_up(id, 1));
    }
}
