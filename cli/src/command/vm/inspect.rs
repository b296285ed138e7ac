//! `banger vm inspect`.

use banger_proto::VmRef;

use super::view::{Json, details};
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let vm = bangerd::connect(terminal).await?.vm(&self.vm).await?;
        if self.json {
            terminal.json(&Json::from(&vm))?;
        } else {
            terminal.result(&details(&vm))?;
        }
        Ok(0)
    }
}
