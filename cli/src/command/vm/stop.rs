//! `banger vm stop`.

use banger_proto::{Seconds, VmRef};

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::Outcome;
use crate::terminal::{Terminal, Timings, follow};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    #[arg(required = true, value_name = "VM")]
    vms: Vec<VmRef>,
    /// How long the guest has to shut down before it is killed, as in 30s; 0 kills it at once
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
    #[command(flatten)]
    timings: TimingsFlag,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let mut client = bangerd::connect(terminal).await?;
        for vm in &self.vms {
            follow(
                terminal,
                &mut timings,
                client.stop_vm(vm, self.timeout.map(Seconds::duration)).await?,
            )
            .await?;
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
