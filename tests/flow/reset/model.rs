//! What was acknowledged, and what must therefore be true after a reset.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of a thing that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was asked for, or asked to go, and nobody heard how that ended.
    Unsure,
    /// It was acknowledged, with this content.
    There(String),
    /// Its removal was acknowledged, or it never came to be.
    Gone,
}

/// The things of one kind that one client has asked for, by name. Names are not used twice.
#[derive(Debug, Clone, Default)]
pub struct Model(BTreeMap<String, Fate>);

impl Model {
    pub fn unsure(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Fate::Unsure);
    }

    pub fn there(&mut self, name: &str, content: &str) {
        self.0.insert(name.to_owned(), Fate::There(content.to_owned()));
    }

    pub fn gone(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Fate::Gone);
    }

    pub fn fate(&self, name: &str) -> Option<&Fate> {
        self.0.get(name)
    }

    /// Those that are surely there.
    pub fn present(&self) -> Vec<String> {
        let there = self.0.iter().filter(|(_, fate)| matches!(fate, Fate::There(_)));
        there.map(|(name, _)| name.clone()).collect()
    }

    /// Compares with what is there, and learns what became of what was unsure.
    pub fn settle(
        &mut self,
        there: &BTreeSet<String>,
        about: &str,
        content: impl Fn(&str) -> String,
    ) {
        for (name, fate) in &mut self.0 {
            let is_there = there.contains(name);
            match fate {
                Fate::Gone => assert!(!is_there, "{about}: {name} is back"),
                Fate::There(before) => {
                    assert!(is_there, "{about}: {name} was acknowledged and is lost");
                    assert_eq!(*before, content(name), "{about}: {name} is another");
                }
                Fate::Unsure if is_there => *fate = Fate::There(content(name)),
                Fate::Unsure => *fate = Fate::Gone,
            }
        }
    }
}
