//! `banger vm ls`.

use super::view::{Json, rows};
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "With --quiet only the names.")]
pub(crate) struct Arguments {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let vms = bangerd::connect(terminal).await?.list_vms().await?;
        if self.json {
            terminal.json(&vms.iter().map(Json::from).collect::<Vec<_>>())?;
        } else if vms.is_empty() {
            terminal.note("there are no VMs; make one: banger run -- uname -a");
        } else if terminal.is_quiet() {
            terminal.result(&vms.iter().map(|vm| format!("{}\n", vm.name)).collect::<String>())?;
        } else {
            terminal.result(&rows(&vms))?;
        }
        Ok(0)
    }
}
