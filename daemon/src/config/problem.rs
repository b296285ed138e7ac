//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use banger_proto::{Code, Refusal};

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1; absent when it is about the whole file.
    pub line: Option<u32>,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Problem {
    pub(super) fn file(path: &Path, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, text: text.into() }
    }

    pub(super) fn line(path: &Path, line: u32, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(formatter, "{line}:")?;
        }
        write!(formatter, " {}", self.text)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used")]
pub struct ConfigError {
    /// All that is wrong; at least one thing.
    pub problems: Vec<Problem>,
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let mut refusal = Self::new(Code::FailedPrecondition, error.to_string())
            .hint("correct or remove what is named; then see what counts: banger config show");
        refusal.chain = error.problems.iter().map(ToString::to_string).collect();
        refusal
    }
}
