//! `banger vm start`.

use banger_proto::VmRef;

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::Outcome;
use crate::terminal::{Terminal, Timings, follow};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    #[arg(required = true, value_name = "VM")]
    vms: Vec<VmRef>,
    #[command(flatten)]
    timings: TimingsFlag,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let mut client = bangerd::connect(terminal).await?;
        for vm in &self.vms {
            let vm = follow(terminal, &mut timings, client.start_vm(vm).await?).await?;
            terminal.note(&format!("{} is up: banger ssh {}", vm.name, vm.name));
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
