//! What `banger doctor` found: one thing that was looked at, and what to do about it.

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Not looked at: something else is missing, or nobody asked.
    Skipped,
    /// VMs run, but slower, less confined or not for long.
    Warning,
    /// VMs do not run, or something of the user's is damaged.
    Failed,
}

impl CheckState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it belongs to: `virtualization`.
    pub group: String,
    /// What was looked at: `KVM`.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
    /// The value that was found, in one line.
    pub found: String,
    /// Why it matters, in one line.
    pub why: String,
    /// What to do: commands, and sentences behind `# `, so that all of it can be pasted into a
    /// shell; empty when there is nothing to do.
    pub remedy: Vec<String>,
}

impl Check {
    /// A check with what was found; nothing to do.
    #[must_use]
    pub fn new(
        (group, name): (&str, &str),
        why: &str,
        state: CheckState,
        found: impl Into<String>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            name: name.to_owned(),
            state,
            found: found.into(),
            why: why.to_owned(),
            remedy: Vec::new(),
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn remedy<T: Into<String>>(mut self, steps: impl IntoIterator<Item = T>) -> Self {
        self.remedy = steps.into_iter().map(Into::into).collect();
        self
    }
}
