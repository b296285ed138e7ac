//! `banger vm restart`.

use banger_proto::{Seconds, VmRef};

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::Outcome;
use crate::terminal::{Terminal, Timings, follow};

#[derive(Debug, clap::Args)]
#[command(after_help = "One that does not run is started. What `set` changed holds from here on.")]
pub(crate) struct Arguments {
    /// Name or id
    #[arg(required = true, value_name = "VM")]
    vms: Vec<VmRef>,
    /// How long the guest has to shut down before it is killed, as in 60s or 5m; 0 kills it at once
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
    /// Even where this computer has not the memory or disk that they seem to need
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    timings: TimingsFlag,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let mut client = bangerd::connect(terminal).await?;
        for vm in &self.vms {
            let events =
                client.restart_vm(vm, self.timeout.map(Seconds::duration), self.force).await?;
            let vm = follow(terminal, &mut timings, events).await?;
            terminal.note(&format!("{} is up: banger ssh {}", vm.name, vm.name));
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
