//! `banger helper ...`: the root helper, where there is one.

mod entry;
mod journal;
mod log;

use clap::Subcommand;

pub(crate) use entry::Entry;

use crate::failure::Outcome;
use crate::terminal::Terminal;

/// What can be asked about the root helper.
#[derive(Debug, Subcommand)]
pub(crate) enum HelperCommand {
    /// Show what the root helper did and refused for you
    Log(log::Arguments),
}

impl HelperCommand {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Log(log) => log.run(terminal).await,
        }
    }
}
