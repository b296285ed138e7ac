//! `banger daemon ...`: it is started on demand, and seldom needs a word.

use clap::Subcommand;

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

/// What can be asked of the daemon itself.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// End the daemon; VMs run on, and the next command starts it anew
    Stop,
}

impl DaemonCommand {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Stop => {
                if bangerd::stop().await? {
                    terminal.note("bangerd has ended; running VMs are not touched");
                } else {
                    terminal.note("bangerd does not run");
                }
                Ok(0)
            }
        }
    }
}
