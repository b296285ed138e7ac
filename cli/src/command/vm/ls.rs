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
        let (vms, broken) = bangerd::connect(terminal).await?.list_vms_and_broken().await?;
        if self.json {
            terminal.json(&vms.iter().map(Json::from).collect::<Vec<_>>())?;
        } else if vms.is_empty() && broken.is_empty() {
            terminal.note("there are no VMs; make one: banger run -- uname -a");
        } else if terminal.is_quiet() && vms.is_empty() {
            // Only broken ones, which no command can use.
        } else if terminal.is_quiet() {
            terminal.result(&vms.iter().map(|vm| format!("{}\n", vm.name)).collect::<String>())?;
        } else {
            terminal.result(&rows(&vms, &broken))?;
        }
        for vm in &broken {
            let label = vm.label();
            terminal.note(&format!(
                "{label} is broken: {}; remove it with: banger rm --force {label}",
                vm.reason
            ));
        }
        Ok(0)
    }
}
