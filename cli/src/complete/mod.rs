//! Completion on the command line: the shell asks this very program, which knows its own
//! arguments and the names that bangerd knows.

mod names;
mod script;

use std::any::TypeId;
use std::env;

use banger_proto::{ImageName, Share, VmCondition, VmRef};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use clap_complete::{CompleteEnv, CompletionCandidate};

pub(crate) use script::{Shell, script};

use crate::arguments;

/// The variable by which a shell's script says that it asks.
const VARIABLE: &str = "BANGER_COMPLETE";

/// Arguments that take a name which is not there yet.
const NEW: &[&str] = &["build", "import"];

/// Answers a shell that asks; `false` when none does. Never starts a daemon, and never says
/// what went wrong: somebody is typing.
pub(crate) fn answer() -> bool {
    if env::var_os(VARIABLE).is_none() {
        return false;
    }
    let folder = env::current_dir().ok();
    let asked = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin("banger")
        .completer("banger")
        .try_complete(env::args_os(), folder.as_deref());
    asked.unwrap_or(true)
}

/// All that can be typed, with the names that fit.
fn command() -> clap::Command {
    with_names(arguments::command())
}

fn with_names(command: clap::Command) -> clap::Command {
    let makes_new = NEW.contains(&command.get_name());
    let (copies, syncs) = (command.get_name() == "cp", command.get_name() == "sync");
    let command = command.mut_args(|argument| {
        let kind = argument.get_value_parser().type_id();
        if copies && ["source", "target"].contains(&argument.get_id().as_str()) {
            argument.add(ArgValueCompleter::new(names::places))
        } else if kind == TypeId::of::<VmRef>() || (syncs && argument.get_id() == "target") {
            argument.add(ArgValueCandidates::new(names::vms))
        } else if kind == TypeId::of::<ImageName>() && !makes_new {
            argument.add(ArgValueCandidates::new(names::images))
        } else if kind == TypeId::of::<Share>() {
            argument.add(ArgValueCompleter::new(names::folders))
        } else if kind == TypeId::of::<VmCondition>() {
            argument.add(ArgValueCandidates::new(|| {
                ["stopped", "running", "ssh"].map(CompletionCandidate::new).into()
            }))
        } else {
            argument
        }
    });
    command.mut_subcommands(with_names)
}
