//! `banger vm run`: create, start, run a command, and with `--rm` remove again.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use banger_proto::client::Client;
use banger_proto::{Code, Network, Refusal, StartOptions, Vm, VmRef};

use super::create::Shape;
use super::in_guest::InGuest;
use super::ssh::session;
use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupts;
use crate::ssh::Setting;
use crate::terminal::{Terminal, Timings, follow};

/// How long a removal may take before it is left to bangerd, which holds the VM.
const REMOVAL: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "Without --rm the VM is kept, and runs on.")]
pub(crate) struct Arguments {
    /// Remove the VM afterwards, however the command ends
    #[arg(long)]
    pub(crate) rm: bool,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    place: InGuest,
    #[command(flatten)]
    timings: TimingsFlag,
    /// Command and its arguments, which the guest gets exactly as given [default: a login shell]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let setting = self.place.setting()?;
        if self.shape.net == Some(Network::None) {
            return Err(Refusal::new(
                Code::InvalidArgument,
                "run reaches its guest by ssh, and without a network nothing leads there",
            )
            .hint("banger create --net none, banger start, and banger console")
            .into());
        }
        let force = self.shape.force;
        let new = self.shape.new_vm(self.rm)?;
        let mut interrupts = Interrupts::listen().map_err(Failure::Begin)?;
        let mut client = bangerd::connect(terminal).await?;
        let vm = client.create_vm(new).await?;
        let reference = VmRef::from(vm.id);
        // From here on bangerd removes the VM when this process ends, whatever ends it.
        let hold = if self.rm { Some(client.hold_vm(&reference).await?) } else { None };
        let outcome = use_it(
            terminal,
            &mut client,
            (&vm, force),
            (&setting, &self.command),
            &mut timings,
            &mut interrupts,
        )
        .await;
        if hold.is_some() {
            remove(terminal, &mut client, &vm, &mut timings, &mut interrupts).await;
        } else if client.vm(&reference).await.is_ok_and(|vm| vm.running.is_some()) {
            let name = &vm.name;
            terminal.note(&format!("{name} runs on: banger ssh {name}, banger rm --force {name}"));
        }
        self.timings.show(terminal, &timings);
        outcome
    }
}

/// Starts the VM and runs the command in it.
async fn use_it(
    terminal: Terminal,
    client: &mut Client,
    (vm, force): (&Vm, bool),
    (setting, command): (&Setting, &[OsString]),
    timings: &mut Timings,
    interrupts: &mut Interrupts,
) -> Outcome {
    let reference = VmRef::from(vm.id);
    let options = StartOptions { force, ..StartOptions::default() };
    let start =
        async { follow(terminal, timings, client.start_vm(&reference, options).await?).await };
    tokio::select! {
        started = start => started?,
        signal = interrupts.next() => return Err(Failure::Interrupted(signal)),
    };
    let begun = Instant::now();
    let outcome = session(client, &reference, setting, command, interrupts).await;
    timings.guest_command(begun);
    outcome
}

/// Removes the VM. A removal that fails is told and changes nothing about the command's
/// outcome; a second signal leaves it to bangerd.
async fn remove(
    terminal: Terminal,
    client: &mut Client,
    vm: &Vm,
    timings: &mut Timings,
    interrupts: &mut Interrupts,
) {
    let reference = VmRef::from(vm.id);
    let removal =
        async { follow(terminal, timings, client.remove_vm(&reference, true).await?).await };
    let removed = tokio::select! {
        removed = tokio::time::timeout(REMOVAL, removal) => removed.ok(),
        _ = interrupts.next() => None,
    };
    match removed {
        Some(Ok(_)) => {}
        Some(Err(failure)) => terminal.failure(&failure),
        None => terminal.note(&format!("the removal of {} is left to bangerd", vm.name)),
    }
}
