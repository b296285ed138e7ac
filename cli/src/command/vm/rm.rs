//! `banger vm rm`.

use banger_proto::{Code, VmRef};

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
            match client.remove_vm(vm, self.force).await {
                // Its record cannot be read: all that can be done with it.
                Err(refusal) if self.force && refusal.code == Code::DataLoss => {
                    client.remove_broken_vm(vm).await?;
                }
                events => {
                    follow(terminal, &mut timings, events?).await?;
                }
            }
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
