//! Is a batch on the device? Decided by what its worker announced, how that worker ended, and
//! what a fresh one sees on the device.

use banger_proto::roothelper::{WriteBlame, WriteOutcome};

use super::answer::Answer;
use super::death::{Death, Last};
use super::refusal::{Blame, Refusal};
use super::state::State;

/// What a batch was about to do when it began to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    before: State,
    after: State,
    atomic: bool,
}

/// How far a batch came, by its own worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Not a byte of it was written.
    NotBegun { blame: WriteBlame, chain: Vec<String> },
    /// It was begun, and this is how it ended: well, or not.
    Begun(Announced, Result<(), Vec<String>>),
    /// What its worker said makes no sense, so that it may have written anything.
    Untold(Vec<String>),
}

/// What a fresh worker sees on the device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    State(State),
    /// Nothing can be said, for these reasons.
    Nothing(Vec<String>),
}

/// How far a batch came, from what its worker said before its last word, and that.
pub(super) fn course(said: &[Answer], last: Last) -> Course {
    let announced = match said {
        [] => None,
        [Answer::Begins { before, after, atomic }] => {
            Some(Announced { before: *before, after: *after, atomic: *atomic })
        }
        _ => return Course::Untold(vec!["the ext4 worker said what was not asked".to_owned()]),
    };
    match (announced, last) {
        (None, Last::NotShutIn(chain)) => Course::NotBegun { blame: WriteBlame::Host, chain },
        (None, Last::Answered(Answer::Refused(refusal))) => {
            Course::NotBegun { blame: refused(&refusal), chain: refusal.chain }
        }
        (None, Last::Died(death @ Death::Garbled(_))) => Course::Untold(vec![death.to_string()]),
        (None, Last::Died(death)) => {
            Course::NotBegun { blame: WriteBlame::Host, chain: vec![death.to_string()] }
        }
        (Some(announced), Last::Answered(Answer::Written { atomic }))
            if atomic == announced.atomic =>
        {
            Course::Begun(announced, Ok(()))
        }
        (Some(announced), Last::Answered(Answer::Refused(refusal))) => {
            Course::Begun(announced, Err(refusal.chain))
        }
        (Some(announced), Last::Died(death)) => {
            Course::Begun(announced, Err(vec![death.to_string()]))
        }
        (_, Last::Answered(_) | Last::NotShutIn(_)) => {
            Course::Untold(vec!["the ext4 worker said what was not asked".to_owned()])
        }
    }
}

fn refused(refusal: &Refusal) -> WriteBlame {
    match refusal.blame {
        Blame::Request | Blame::Limit => WriteBlame::Request,
        Blame::Incompatible => WriteBlame::Incompatible,
        Blame::Damage => WriteBlame::Damage,
        Blame::Space => WriteBlame::Space,
        Blame::Host => WriteBlame::Host,
    }
}

/// The outcome of a batch of so many changes that was begun.
pub(super) fn outcome(
    writes: u32,
    announced: Announced,
    ended: &Result<(), Vec<String>>,
    seen: Seen,
) -> WriteOutcome {
    let Announced { before, after, atomic } = announced;
    let because = |what: &str, more: Vec<String>| {
        let mut chain = vec![what.to_owned()];
        chain.extend(ended.as_ref().err().into_iter().flatten().cloned());
        chain.extend(more);
        chain
    };
    let state = match seen {
        Seen::State(state) => state,
        Seen::Nothing(why) => {
            let what = "what is on the device could not be read back";
            return WriteOutcome::Unknown { chain: because(what, why) };
        }
    };
    // Without a journal, a batch that was cut may have left anything beside what it touches.
    let whole = atomic || ended.is_ok();
    if state == after && whole {
        WriteOutcome::Applied { writes, atomic }
    } else if state == before && atomic {
        let what = "the batch did not reach the device";
        WriteOutcome::NotApplied { blame: WriteBlame::Host, chain: because(what, Vec::new()) }
    } else if !whole {
        let what = "the batch was cut short, on a filesystem without a journal: run e2fsck -p, \
                    or e2fsck -y where that refuses";
        WriteOutcome::Unknown { chain: because(what, Vec::new()) }
    } else {
        let what = "the device holds neither what was there nor what was written";
        WriteOutcome::Unknown { chain: because(what, Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: State = State([1; 32]);
    const NEW: State = State([2; 32]);
    const OTHER: State = State([3; 32]);

    fn begins(atomic: bool) -> Answer {
        Answer::Begins { before: OLD, after: NEW, atomic }
    }

    fn announced(atomic: bool) -> Announced {
        Announced { before: OLD, after: NEW, atomic }
    }

    fn verdict(atomic: bool, ended: &Result<(), Vec<String>>, seen: Seen) -> char {
        match outcome(1, announced(atomic), ended, seen) {
            WriteOutcome::Applied { .. } => 'a',
            WriteOutcome::NotApplied { .. } => 'n',
            WriteOutcome::Unknown { .. } => 'u',
        }
    }

    #[test]
    fn the_device_decides_and_not_the_worker() {
        let died = || Err(vec!["signal 9".to_owned()]);
        let nothing = || Seen::Nothing(vec!["it does not answer".to_owned()]);
        for (atomic, ended, seen, expected) in [
            (true, Ok(()), Seen::State(NEW), 'a'),
            (true, Ok(()), Seen::State(OLD), 'n'),
            (true, Ok(()), Seen::State(OTHER), 'u'),
            (true, Ok(()), nothing(), 'u'),
            (true, died(), Seen::State(NEW), 'a'),
            (true, died(), Seen::State(OLD), 'n'),
            (true, died(), Seen::State(OTHER), 'u'),
            (true, died(), nothing(), 'u'),
            (false, Ok(()), Seen::State(NEW), 'a'),
            (false, Ok(()), Seen::State(OLD), 'u'),
            (false, died(), Seen::State(NEW), 'u'),
            (false, died(), Seen::State(OLD), 'u'),
            (false, died(), nothing(), 'u'),
        ] {
            assert_eq!(verdict(atomic, &ended, seen), expected, "{atomic} {ended:?}");
        }
    }

    #[test]
    fn nothing_was_written_before_it_was_announced() {
        let refusal = Refusal { blame: Blame::Space, chain: vec!["no room".to_owned()] };
        let refused = || Last::Answered(Answer::Refused(refusal.clone()));
        let died = || Last::Died(Death::Signal(9));
        let not_begun = |course| matches!(course, Course::NotBegun { .. });
        assert!(not_begun(course(&[], refused())));
        assert!(not_begun(course(&[], died())));
        assert!(not_begun(course(&[], Last::NotShutIn(Vec::new()))));
        let begun = |last| course(&[begins(true)], last);
        assert!(matches!(begun(refused()), Course::Begun(_, Err(_))));
        assert!(matches!(begun(died()), Course::Begun(_, Err(_))));
        let written = |atomic| Last::Answered(Answer::Written { atomic });
        assert_eq!(begun(written(true)), Course::Begun(announced(true), Ok(())));
    }

    #[test]
    fn who_talks_nonsense_may_have_written_anything() {
        let written = |atomic| Last::Answered(Answer::Written { atomic });
        let untold = |course| matches!(course, Course::Untold(_));
        assert!(untold(course(&[], written(true))), "it was not announced");
        assert!(untold(course(&[begins(true)], written(false))), "it was announced otherwise");
        assert!(untold(course(&[begins(true), begins(true)], written(true))));
        assert!(untold(course(&[], Last::Died(Death::Garbled("x")))));
        assert!(untold(course(&[begins(true)], Last::NotShutIn(Vec::new()))));
        assert!(untold(course(&[begins(true)], Last::Answered(Answer::State(OLD)))));
    }
}
