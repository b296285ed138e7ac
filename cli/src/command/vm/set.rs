//! `banger vm set`.

use banger_proto::{Cpus, Lifetime, Mib, VmChange, VmRef};

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true).multiple(true),
    after_help = "A VM that runs goes on with the processors and the memory that it has."
)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// Virtual processors from the next start on
    #[arg(long, value_name = "COUNT", group = "change")]
    cpus: Option<Cpus>,
    /// Memory from the next start on, as in 512M or 2G
    #[arg(long, value_name = "SIZE", group = "change")]
    memory: Option<Mib>,
    /// Size of the work disk; one that is made already grows, while its VM does not run
    #[arg(long, value_name = "SIZE", group = "change")]
    disk: Option<Mib>,
    /// Remove it after this time from now, as in 30m or 2h, or `never`
    #[arg(long, value_name = "TIME", group = "change")]
    ttl: Option<Lifetime>,
    /// Also with more memory than this computer has
    #[arg(long)]
    force: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let Self { vm, cpus, memory, disk, ttl: lifetime, force } = self;
        let change = VmChange { cpus, memory, disk, lifetime, force };
        let vm = bangerd::connect(terminal).await?.set_vm(&vm, change).await?;
        if let Some(running) = &vm.running
            && (running.cpus != vm.cpus || running.memory != vm.memory)
        {
            terminal.note(&format!(
                "{} goes on with {} cpus and {} until it is restarted: banger restart {}",
                vm.name, running.cpus, running.memory, vm.name
            ));
        }
        Ok(0)
    }
}
