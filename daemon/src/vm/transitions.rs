//! Which phase may follow which: the arrows of the drawing in `vm/mod.rs`, as a function.

use banger_proto::VmState;

use crate::store::Phase;

impl Phase {
    /// Whether this phase may be followed by `next`. A phase that stays what it is, perhaps
    /// with another reason, is no transition.
    #[must_use]
    pub fn may_become(&self, next: &Self) -> bool {
        follows(self.state(), next.state())
    }
}

fn follows(from: VmState, to: VmState) -> bool {
    use VmState::{Created, Failed, Running, Starting, Stopped, Stopping};
    from == to
        || match from {
            Created | Stopped | Failed => to == Starting,
            Starting => matches!(to, Running | Created | Stopped | Failed),
            Running => matches!(to, Stopping | Stopped | Failed),
            Stopping => matches!(to, Running | Stopped | Failed),
        }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const STATES: [VmState; 6] = [
        VmState::Created,
        VmState::Starting,
        VmState::Running,
        VmState::Stopping,
        VmState::Stopped,
        VmState::Failed,
    ];

    /// The arrows that the module's documentation lists.
    fn drawn() -> BTreeSet<(String, String)> {
        let text = include_str!("mod.rs");
        let lines = text.lines().filter_map(|line| line.strip_prefix("//!  "));
        let arrows = lines.filter_map(|line| {
            let (from, to) = line.split_once(" -> ")?;
            let from: VmState = from.trim().parse().ok()?;
            let to = to.split_whitespace().map(|to| to.parse::<VmState>().expect("a state"));
            Some(to.map(|to| (from.to_string(), to.to_string())).collect::<Vec<_>>())
        });
        arrows.flatten().collect()
    }

    #[test]
    fn only_the_drawn_transitions_are_possible() {
        let drawn = drawn();
        assert_eq!(drawn.len(), 13, "the drawing was read: {drawn:?}");
        let mut possible = BTreeSet::new();
        for from in STATES {
            for to in STATES.into_iter().filter(|to| *to != from && follows(from, *to)) {
                possible.insert((from.to_string(), to.to_string()));
            }
            assert!(follows(from, from));
        }
        assert_eq!(possible, drawn);
    }
}
