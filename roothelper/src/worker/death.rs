//! How a worker ended that did not answer as it should.

use std::fmt;

use super::answer::Answer;
use super::running::{End, Life};

/// How a worker ended that did not answer as it should. What it had to do with, the bytes of
/// a guest, is not to be trusted from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Death {
    /// It met a defect of its own and gave up, at this place of the program.
    Panicked(String),
    /// A signal ended it: 31 is a system call that it may not make, 6 memory beyond its limit.
    Signal(i32),
    /// It ended without an answer.
    Exited(i32),
    /// Its time was over.
    Deadline,
    /// Its time was over, and it waits for its device still.
    Stuck,
    /// What it said made no sense.
    Garbled(&'static str),
    /// The operating system does not say.
    Lost,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(place) => write!(f, "the ext4 worker gave up at {place}"),
            Self::Signal(signal) => write!(f, "signal {signal} ended the ext4 worker"),
            Self::Exited(code) => {
                write!(f, "the ext4 worker ended without an answer, with exit code {code}")
            }
            Self::Deadline => f.write_str("the ext4 worker was ended at its deadline"),
            Self::Stuck => f.write_str(
                "the ext4 worker was ended at its deadline, and still waits for the device",
            ),
            Self::Garbled(why) => write!(f, "the ext4 worker made no sense: {why}"),
            Self::Lost => f.write_str("the end of the ext4 worker is not known"),
        }
    }
}

impl std::error::Error for Death {}

/// What a worker left behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Its last answer, and a clean exit behind it.
    Answered(Answer),
    /// It could not shut itself in, and looked at nothing.
    NotShutIn(Vec<String>),
    /// Anything else.
    Died(Death),
}

/// The last word of a life, with what was said before it.
pub(super) fn last(life: Life, stuck: bool) -> (Vec<Answer>, Last) {
    let Life { mut answers, end, .. } = life;
    let said = answers.pop();
    let last = match (end, said) {
        _ if stuck => Last::Died(Death::Stuck),
        (End::Exited(0), Some(Answer::NotShutIn(chain))) if answers.is_empty() => {
            Last::NotShutIn(chain)
        }
        (End::Exited(0), Some(Answer::NotShutIn(_) | Answer::Panicked(_))) => {
            Last::Died(Death::Garbled("it says what does not happen"))
        }
        (End::Exited(0), Some(answer)) => Last::Answered(answer),
        (End::Signal(_), Some(Answer::Panicked(place))) => Last::Died(Death::Panicked(place)),
        (end, said) => {
            // It was said before the end, and may count.
            answers.extend(said);
            Last::Died(match end {
                End::Exited(code) => Death::Exited(code),
                End::Signal(signal) => Death::Signal(signal),
                End::Deadline => Death::Deadline,
                End::Garbled(why) => Death::Garbled(why),
                End::Lost => Death::Lost,
            })
        }
    };
    (answers, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::state::State;

    fn of(answers: &[Answer], end: End) -> Last {
        last(Life { answers: answers.to_vec(), end, stuck: None }, false).1
    }

    #[test]
    fn only_an_answer_and_a_clean_exit_are_an_answer() {
        let state = Answer::State(State([0; 32]));
        let said = std::slice::from_ref(&state);
        assert_eq!(of(said, End::Exited(0)), Last::Answered(state.clone()));
        assert_eq!(of(&[], End::Exited(0)), Last::Died(Death::Exited(0)));
        for (end, death) in [
            (End::Exited(1), Death::Exited(1)),
            (End::Signal(31), Death::Signal(31)),
            (End::Deadline, Death::Deadline),
            (End::Garbled("x"), Death::Garbled("x")),
            (End::Lost, Death::Lost),
        ] {
            assert_eq!(of(said, end), Last::Died(death));
        }
        let panicked = Answer::Panicked("x.rs:1".to_owned());
        let said = [panicked];
        assert_eq!(of(&said, End::Signal(6)), Last::Died(Death::Panicked("x.rs:1".to_owned())));
        assert!(matches!(of(&said, End::Exited(0)), Last::Died(Death::Garbled(_))));
        let not = Answer::NotShutIn(vec!["x".to_owned()]);
        assert_eq!(
            of(std::slice::from_ref(&not), End::Exited(0)),
            Last::NotShutIn(vec!["x".to_owned()])
        );
        assert!(matches!(of(&[state, not], End::Exited(0)), Last::Died(Death::Garbled(_))));
    }
}
