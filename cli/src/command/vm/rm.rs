//! `banger vm rm`.

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
    /// Also one that runs, which is killed first
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    timings: TimingsFlag,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let mut client = bangerd::connect(terminal).await?;
        for vm in &self.vms {
            follow(terminal, &mut timings, client.remove_vm(vm, self.force).await?).await?;
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
