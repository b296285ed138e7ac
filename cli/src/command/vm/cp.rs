//! `banger vm cp`: files between the host and a VM.

use std::ffi::OsString;

use banger_proto::{SshTarget, VmName, VmRef};

use crate::bangerd;
use crate::copy::place::Place;
use crate::copy::{Source, from_guest, to_guest, to_output};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupts;
use crate::terminal::{Counter, Terminal, copying};

/// Most files that are named one by one.
const NAMED: usize = 5;
/// Exit code for wrong usage.
const USAGE: u8 = 2;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
As with cp -a, a folder goes with all that is in it; modes, times and links are kept. What is
copied into a guest is root's there, what is copied out is yours. Into a target that is a folder
the source goes under its own name; PATH/. as the source means what is in the folder. A target
that is not there is made, the folder that holds it is not. A link that is named as the source is
followed, as by cp -H; links in a folder stay links. A link in the place of a file is replaced and
not followed.

A path of the guest that does not begin with / begins at /root. A path of the host with a colon is
written ./like:this, and one that is called - is ./-.

From a guest nothing is taken but folders, files and links, without their set-uid bits, and nothing
is written outside the target, whatever the guest sends. Folders need tar in the guest.")]
pub(crate) struct Arguments {
    /// What to copy: PATH, VM:PATH, or - for standard input
    source: OsString,
    /// Where to: PATH, VM:PATH, or - for one file to standard output
    target: OsString,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let what = format!("copying {}", self.source.to_string_lossy());
        match (Place::parse(&self.source), Place::parse(&self.target)) {
            (Place::Guest(vm, source), Place::Host(target)) => {
                let mut way = Way::to(terminal, &vm).await?;
                let counter = Counter::default();
                let copy = from_guest(
                    (&way.name, &way.target),
                    &source,
                    &target,
                    counter.clone(),
                    &mut way.interrupts,
                );
                let (unpacked, changed) = copying(terminal, &what, &counter, copy).await?;
                told(terminal, "left out, being neither file nor folder", &unpacked.left_out);
                told(
                    terminal,
                    "copied as the link that it is, and not what it leads to",
                    &unpacked.links_out,
                );
                told(terminal, "the guest said", &changed);
            }
            (Place::Guest(vm, source), Place::Stream) => {
                let mut way = Way::to(terminal, &vm).await?;
                to_output((&way.name, &way.target), &source, &mut way.interrupts, move |bytes| {
                    terminal.pass(bytes)
                })
                .await?;
            }
            (source @ (Place::Host(_) | Place::Stream), Place::Guest(vm, target)) => {
                let source = match source {
                    Place::Host(path) => Source::Path(path),
                    _ => Source::Input,
                };
                let mut way = Way::to(terminal, &vm).await?;
                let counter = Counter::default();
                let copy = to_guest(
                    (&way.name, &way.target),
                    source,
                    &target,
                    counter.clone(),
                    &mut way.interrupts,
                );
                let packed = copying(terminal, &what, &counter, copy).await?;
                let names = |paths: Vec<std::path::PathBuf>| -> Vec<String> {
                    paths.iter().map(|path| path.display().to_string()).collect()
                };
                let left_out = names(packed.left_out);
                told(terminal, "left out, being neither file nor folder", &left_out);
                told(terminal, "changed while it was copied", &names(packed.changed));
            }
            _ => {
                terminal.failure(&Failure::CopySides);
                return Ok(USAGE);
            }
        }
        Ok(0)
    }
}

/// The way to a guest.
pub(super) struct Way {
    pub(super) name: VmName,
    pub(super) target: SshTarget,
    pub(super) interrupts: Interrupts,
}

impl Way {
    /// Finds it.
    pub(super) async fn to(terminal: Terminal, vm: &VmRef) -> Result<Self, Failure> {
        let interrupts = Interrupts::listen().map_err(Failure::Begin)?;
        let mut client = bangerd::connect(terminal).await?;
        let name = client.vm(vm).await?.name;
        let target = client.ssh_target(vm).await?;
        Ok(Self { name, target, interrupts })
    }
}

/// Names some files, with what is to be known of them.
pub(super) fn told(terminal: Terminal, what: &str, names: &[String]) {
    for name in names.iter().take(NAMED) {
        terminal.note(&format!("{what}: {name}"));
    }
    if let Some(more @ 1..) = names.len().checked_sub(NAMED) {
        terminal.note(&format!("{what}: {more} more"));
    }
}
