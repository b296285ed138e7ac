//! `banger vm wait`.

use banger_proto::{Seconds, VmCondition, VmRef};

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, during};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 when it is so, 1 when it is not: the time is over, or the VM has failed. A VM that is
removed has stopped.")]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// What to wait for: stopped, running, or ssh for an sshd that answers
    #[arg(long = "for", value_name = "STATE", default_value_t)]
    until: VmCondition,
    /// Give up after this time, as in 60s or 5m; 0 only looks [default: never]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Seconds>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut client = bangerd::connect(terminal).await?;
        let what = format!("waiting for {}: {}", self.vm, self.until);
        during(terminal, &what, client.wait_vm(&self.vm, self.until, self.timeout)).await?;
        Ok(0)
    }
}
