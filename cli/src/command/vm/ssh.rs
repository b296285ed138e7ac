//! `banger vm ssh`, and what `exec` and `run` share with it.

use std::ffi::OsString;

use banger_proto::VmRef;
use banger_proto::client::Client;

use super::in_guest::InGuest;
use crate::bangerd;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupts;
use crate::ssh::Setting;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    #[command(flatten)]
    place: InGuest,
    /// Command to run instead of the login shell, as with exec
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        in_guest(terminal, &self.vm, self.place.setting()?, &self.command).await
    }
}

/// Runs a command, or the login shell, in a VM that runs.
pub(super) async fn in_guest(
    terminal: Terminal,
    vm: &VmRef,
    setting: Setting,
    command: &[OsString],
) -> Outcome {
    let mut client = bangerd::connect(terminal).await?;
    let mut interrupts = Interrupts::listen().map_err(Failure::Begin)?;
    session(&mut client, vm, &setting, command, &mut interrupts).await
}

/// The same with a client and signals that are there already.
pub(super) async fn session(
    client: &mut Client,
    vm: &VmRef,
    setting: &Setting,
    command: &[OsString],
    interrupts: &mut Interrupts,
) -> Outcome {
    let name = client.vm(vm).await?.name;
    let target = client.ssh_target(vm).await?;
    Ok(crate::ssh::run(&name, &target, setting, command, interrupts).await?)
}
