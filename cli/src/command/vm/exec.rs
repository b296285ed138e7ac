//! `banger vm exec`.

use std::ffi::OsString;

use banger_proto::VmRef;

use super::in_guest::InGuest;
use super::ssh::in_guest;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    #[command(flatten)]
    place: InGuest,
    /// Command and its arguments, which the guest gets exactly as given
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        in_guest(terminal, &self.vm, self.place.setting()?, &self.command).await
    }
}
