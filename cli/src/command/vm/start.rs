//! `banger vm start`.

use banger_proto::{Seconds, StartOptions, VmRef};

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::Outcome;
use crate::terminal::{Terminal, Timings, follow};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    #[arg(required = true, value_name = "VM")]
    vms: Vec<VmRef>,
    /// How long the guest may take until its sshd answers, as in 60s or 5m
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
        let options =
            StartOptions { timeout: self.timeout.map(Seconds::duration), force: self.force };
        for vm in &self.vms {
            let vm = follow(terminal, &mut timings, client.start_vm(vm, options).await?).await?;
            terminal.note(&format!("{} is up: banger ssh {}", vm.name, vm.name));
        }
        self.timings.show(terminal, &timings);
        Ok(0)
    }
}
