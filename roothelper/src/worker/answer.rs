//! What a worker says, and how that crosses from it. The reader trusts nothing of it.

use banger_proto::roothelper::Ext4Found;

use super::codec::{Garbled, In, Out};
use super::refusal::{Blame, Refusal};
use super::request::owner;
use super::state::State;

/// Most causes of an error, and bytes of each, that are taken from a worker.
const MOST_CAUSES: usize = 8;
const LONGEST_CAUSE: usize = 1024;

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// What is at each path.
    Found(Vec<Ext4Found>),
    /// The state of what a batch touches, before and after it. Said before a byte of it is
    /// written: the one or the other is found whenever the worker ends.
    Begins { before: State, after: State, atomic: bool },
    /// All of the batch is on the device.
    Written { atomic: bool },
    /// The state of what a batch touches.
    State(State),
    /// The engine refuses.
    Refused(Refusal),
    /// The worker is about to end by a panic, at this place of the program.
    Panicked(String),
    /// It could not shut itself in, and has looked at nothing.
    NotShutIn(Vec<String>),
}

const FOUND: u8 = 1;
const BEGINS: u8 = 2;
const WRITTEN: u8 = 3;
const STATE: u8 = 4;
const REFUSED: u8 = 5;
const PANICKED: u8 = 6;
const NOT_SHUT_IN: u8 = 7;

const NOTHING: u8 = 0;
const FILE: u8 = 1;
const DIRECTORY: u8 = 2;
const SPECIAL: u8 = 3;

/// Bytes of an answer beyond the content and names that it was allowed: each path's own.
const OF_A_PATH: usize = 32;
/// Bytes of a name beyond itself; they count against what a request allows.
pub(super) const OF_A_NAME: usize = 4;

/// Bytes of the largest answer to a request for so many paths and bytes.
pub(super) fn largest(paths: usize, limit: u64) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    paths.saturating_mul(OF_A_PATH).saturating_add(limit).saturating_add(largest_without_content())
}

/// Bytes of the largest answer that holds nothing of the filesystem.
pub(super) const fn largest_without_content() -> usize {
    MOST_CAUSES * (LONGEST_CAUSE + 4) + 64
}

impl Answer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        match self {
            Self::Found(found) => {
                out.u8(FOUND).count(found.len());
                for found in found {
                    put_found(&mut out, found);
                }
            }
            Self::Begins { before, after, atomic } => {
                out.u8(BEGINS).raw(&before.0).raw(&after.0).u8((*atomic).into());
            }
            Self::Written { atomic } => {
                out.u8(WRITTEN).u8((*atomic).into());
            }
            Self::State(state) => {
                out.u8(STATE).raw(&state.0);
            }
            Self::Refused(refusal) => {
                out.u8(REFUSED).u8(refusal.blame.number());
                put_chain(&mut out, &refusal.chain);
            }
            Self::Panicked(place) => {
                out.u8(PANICKED).bytes(cut(place).as_bytes());
            }
            Self::NotShutIn(chain) => put_chain(out.u8(NOT_SHUT_IN), chain),
        }
        out.finish()
    }

    /// Reads an answer; to a request for `paths` paths, where it was one for paths.
    pub(super) fn decode(message: &[u8], paths: usize) -> Result<Self, Garbled> {
        let mut from = In::new(message);
        let answer = match from.u8()? {
            FOUND => {
                if from.count(1)? != paths {
                    return Err(Garbled("an answer is of other paths"));
                }
                Self::Found((0..paths).map(|_| found(&mut from)).collect::<Result<_, _>>()?)
            }
            BEGINS => Self::Begins {
                before: State(from.digest()?),
                after: State(from.digest()?),
                atomic: from.bool()?,
            },
            WRITTEN => Self::Written { atomic: from.bool()? },
            STATE => Self::State(State(from.digest()?)),
            REFUSED => {
                let blame = Blame::of(from.u8()?).ok_or(Garbled("a blame is none"))?;
                Self::Refused(Refusal { blame, chain: chain(&mut from)? })
            }
            PANICKED => Self::Panicked(text(from.bytes()?)),
            NOT_SHUT_IN => Self::NotShutIn(chain(&mut from)?),
            _ => return Err(Garbled("an answer is of no known kind")),
        };
        from.end().map(|()| answer)
    }
}

fn put_found(out: &mut Out, found: &Ext4Found) {
    let (kind, owner) = match found {
        Ext4Found::Nothing => (NOTHING, None),
        Ext4Found::Special => (SPECIAL, None),
        Ext4Found::File { owner, .. } => (FILE, Some(owner)),
        Ext4Found::Directory { owner, .. } => (DIRECTORY, Some(owner)),
    };
    out.u8(kind);
    if let Some(owner) = owner {
        out.u32(owner.mode.bits().into()).u32(owner.uid).u32(owner.gid);
    }
    match found {
        Ext4Found::File { content, .. } => {
            out.bytes(content);
        }
        Ext4Found::Directory { names, .. } => {
            out.count(names.len());
            for name in names {
                out.bytes(name);
            }
        }
        Ext4Found::Nothing | Ext4Found::Special => {}
    }
}

fn found(from: &mut In<'_>) -> Result<Ext4Found, Garbled> {
    Ok(match from.u8()? {
        NOTHING => Ext4Found::Nothing,
        SPECIAL => Ext4Found::Special,
        FILE => Ext4Found::File { owner: owner(from)?, content: from.bytes()?.to_vec() },
        DIRECTORY => {
            let owner = owner(from)?;
            let count = from.count(OF_A_NAME)?;
            let names = (0..count).map(|_| name(from)).collect::<Result<_, _>>()?;
            Ext4Found::Directory { owner, names }
        }
        _ => return Err(Garbled("a thing is of no known kind")),
    })
}

fn name(from: &mut In<'_>) -> Result<Vec<u8>, Garbled> {
    let name = from.bytes()?;
    let is_one = !matches!(name, b"" | b"." | b"..")
        && name.len() <= 255
        && !name.iter().any(|&byte| matches!(byte, b'/' | 0));
    if is_one { Ok(name.to_vec()) } else { Err(Garbled("a name is none")) }
}

fn put_chain(out: &mut Out, chain: &[String]) {
    let causes = &chain[..chain.len().min(MOST_CAUSES)];
    out.count(causes.len());
    for cause in causes {
        out.bytes(cut(cause).as_bytes());
    }
}

fn chain(from: &mut In<'_>) -> Result<Vec<String>, Garbled> {
    let count = from.count(4)?;
    if count > MOST_CAUSES {
        return Err(Garbled("an error has too many causes"));
    }
    (0..count).map(|_| from.bytes().map(text)).collect()
}

fn cut(text: &str) -> &str {
    let whole = |len: &usize| text.is_char_boundary(*len);
    let len = (0..=LONGEST_CAUSE.min(text.len())).rev().find(whole).unwrap_or_default();
    text.get(..len).unwrap_or_default()
}

/// Text that may be shown: short, and nothing in it that a terminal obeys.
fn text(bytes: &[u8]) -> String {
    let shown = bytes.get(..LONGEST_CAUSE).unwrap_or(bytes);
    let shown = String::from_utf8_lossy(shown);
    let plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    shown.chars().map(|c| if plain(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use banger_proto::FileMode;
    use banger_proto::roothelper::Ext4Owner;

    fn answers() -> Vec<Answer> {
        let owner = Ext4Owner { mode: FileMode::new(0o640).unwrap(), uid: 7, gid: 8 };
        let chain = vec!["cannot read".to_owned(), "the device failed".to_owned()];
        vec![
            Answer::Found(vec![
                Ext4Found::Nothing,
                Ext4Found::Special,
                Ext4Found::File { content: vec![0, 255], owner },
                Ext4Found::Directory { names: vec![b"\xff".to_vec(), b"b".to_vec()], owner },
            ]),
            Answer::Begins { before: State([1; 32]), after: State([2; 32]), atomic: true },
            Answer::Written { atomic: false },
            Answer::State(State([3; 32])),
            Answer::Refused(Refusal { blame: Blame::Damage, chain: chain.clone() }),
            Answer::Panicked("ext4/src/x.rs:7:1".to_owned()),
            Answer::NotShutIn(chain),
        ]
    }

    #[test]
    fn an_answer_survives_and_no_other_bytes_are_one() {
        for answer in answers() {
            let message = answer.encode();
            assert_eq!(Answer::decode(&message, 4).as_ref(), Ok(&answer));
            assert!(message.len() <= largest(4, 6 + 2 * OF_A_NAME as u64));
            for len in 0..message.len() {
                assert!(Answer::decode(&message[..len], 4).is_err(), "{len} bytes of {answer:?}");
            }
        }
    }

    #[test]
    fn an_answer_of_other_paths_and_names_that_lead_elsewhere_are_garbled() {
        assert!(Answer::decode(&Answer::Found(vec![Ext4Found::Nothing]).encode(), 2).is_err());
        let owner = Ext4Owner { mode: FileMode::new(0).unwrap(), uid: 0, gid: 0 };
        for bad in [&b"../x"[..], b"..", b"", b"a\0", &[b'a'; 256]] {
            let names = vec![bad.to_vec()];
            let lie = Answer::Found(vec![Ext4Found::Directory { names, owner }]);
            assert_eq!(Answer::decode(&lie.encode(), 1), Err(Garbled("a name is none")));
        }
    }

    #[test]
    fn what_a_terminal_obeys_does_not_come_through() {
        let chain = vec![format!("a\x1b[2J\n\u{202e}b{}", "é".repeat(2000)); 20];
        let said = Answer::Refused(Refusal { blame: Blame::Host, chain }).encode();
        assert!(said.len() <= largest_without_content(), "{}", said.len());
        let Ok(Answer::Refused(refusal)) = Answer::decode(&said, 0) else { panic!("{said:?}") };
        assert_eq!(refusal.chain.len(), MOST_CAUSES);
        assert!(
            refusal.chain.iter().all(|cause| cause.starts_with("a\u{fffd}[2J\u{fffd}\u{fffd}b"))
        );
    }
}
