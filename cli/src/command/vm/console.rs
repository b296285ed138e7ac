//! `banger vm console`: the guest's serial line in this terminal.

use std::io::Read;

use banger_proto::client::{Answers, Client, ConsoleChunk};
use banger_proto::{Code, Refusal, VmName, VmRef};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::bangerd;
use crate::detach_keys::{DetachKeys, Search};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{Interrupts, Signal};
use crate::terminal::{Plain, RawMode, Terminal};

/// Bytes that are read at once of what is typed.
const TYPED: usize = 16 << 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
At a prompt that waits, press Enter. Guests of systemd log root in by themselves here: whoever
reaches the console owns the VM. Ctrl-] lets go of it (--detach-keys chooses other keys), and the
VM runs on.

On a terminal the guest's bytes go to it as they are: it can move the cursor and set the title, as
with any serial line. Where nobody types, bytes pass in both directions, and the end of standard
input does not detach; shown on a terminal, they lose their control sequences.")]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// Keys that detach, as in ctrl-p,ctrl-q; none: only the end of the VM, or a signal
    #[arg(long, value_name = "KEYS", default_value = "ctrl-]")]
    detach_keys: DetachKeys,
    /// Begin with the last so many lines of what was written before
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 20)]
    tail: u32,
}

/// Why it is over.
enum End {
    Detached,
    VmEnded,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut interrupts = Interrupts::listen().map_err(Failure::Begin)?;
        let mut client = bangerd::connect(terminal).await?;
        let name = client.vm(&self.vm).await?.name;
        let (typed, mut queue) = mpsc::channel(64);
        let input = futures_util::stream::poll_fn(move |context| queue.poll_recv(context));
        let chunks = client.console(&self.vm, self.tail, input).await?;
        let interactive = terminal.input_is_terminal();
        if interactive && self.detach_keys.any() {
            terminal.note(&format!("attached to {name}; {} detaches", self.detach_keys));
        }
        let raw_mode = interactive.then(RawMode::enter).transpose().map_err(Failure::Begin)?;
        let shown = Shown::on(terminal, interactive);
        let detached = keyboard(interactive.then(|| self.detach_keys.search()), typed);
        let ended = attached(chunks, shown, detached, &mut interrupts).await;
        if raw_mode.is_some() {
            drop(raw_mode);
            // Wherever the guest left the cursor.
            terminal.raw(b"\r\n")?;
        }
        match ended? {
            End::Detached => terminal.note(&format!("detached from {name}, which runs on")),
            End::VmEnded => terminal.note(&how_it_ended(&mut client, &self.vm, &name).await),
        }
        Ok(0)
    }
}

/// Shows what comes until something ends it.
async fn attached(
    mut chunks: Answers<ConsoleChunk>,
    mut shown: Shown,
    mut detached: mpsc::Receiver<()>,
    interrupts: &mut Interrupts,
) -> Result<End, Failure> {
    // Its usual effect would leave the terminal in raw mode.
    let mut quit = signal(SignalKind::quit()).map_err(Failure::Begin)?;
    loop {
        tokio::select! {
            chunk = chunks.next() => match chunk {
                Some(Ok(chunk)) => shown.show(&chunk)?,
                Some(Err(refusal)) => return Err(lost(refusal)),
                None => return Ok(End::VmEnded),
            },
            Some(()) = detached.recv() => return Ok(End::Detached),
            signal = interrupts.next() => return Err(Failure::Interrupted(signal)),
            _ = quit.recv() => return Err(Failure::Interrupted(Signal::Quit)),
        }
    }
}

/// A refusal of bangerd's own says what is wrong; anything else is that it has gone.
fn lost(refusal: Refusal) -> Failure {
    if !refusal.hint.is_empty() || refusal.code == Code::InvalidArgument {
        return refusal.into();
    }
    Refusal {
        chain: vec![refusal.message],
        ..Refusal::new(Code::Unavailable, "bangerd let go of the console")
            .hint("the VM runs on; attach again")
    }
    .into()
}

async fn how_it_ended(client: &mut Client, vm: &VmRef, name: &VmName) -> String {
    match client.vm(vm).await {
        Ok(vm) if vm.state_reason.is_empty() => format!("{name} has ended: {}", vm.state),
        Ok(vm) => format!("{name} has ended: {}", vm.state_reason),
        Err(_) => format!("{name} has ended and was removed"),
    }
}

/// Reads what is typed in a thread of its own, which ends with the process; tells when the
/// keys that detach were among it.
fn keyboard(mut search: Option<Search>, typed: mpsc::Sender<Vec<u8>>) -> mpsc::Receiver<()> {
    let (detach, detached) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut buffer = vec![0; TYPED];
        let mut input = std::io::stdin().lock();
        while let Ok(length @ 1..) = input.read(&mut buffer) {
            let read = buffer.get(..length).unwrap_or_default();
            let Some(search) = &mut search else {
                // A script waits until the guest takes it.
                if typed.blocking_send(read.to_vec()).is_err() {
                    return;
                }
                continue;
            };
            let (guests, over) = search.next(read);
            // A guest that reads nothing loses keys, and must not take the one that detaches.
            let _full = typed.try_send(guests);
            if over {
                let _ended_already = detach.blocking_send(());
                return;
            }
        }
        // A terminal that has gone has let go. The end of a script's input is none of the
        // guest's: what it writes is still to come.
        if search.is_some() {
            let _ended_already = detach.blocking_send(());
        }
    });
    detached
}

/// How what the guest writes is shown.
#[derive(Debug)]
struct Shown {
    terminal: Terminal,
    output_is_terminal: bool,
    interactive: bool,
    plain: Plain,
}

impl Shown {
    fn on(terminal: Terminal, interactive: bool) -> Self {
        let output_is_terminal = terminal.output_is_terminal();
        Self { terminal, output_is_terminal, interactive, plain: Plain::default() }
    }

    fn show(&mut self, chunk: &ConsoleChunk) -> Result<(), Failure> {
        self.terminal.raw(&self.bytes(chunk))
    }

    /// What was written before is no longer a talk with a terminal: this one would answer
    /// questions that were put to another.
    fn bytes(&mut self, ConsoleChunk { data, replay }: &ConsoleChunk) -> Vec<u8> {
        match (self.output_is_terminal, self.interactive) {
            (false, _) | (true, true) if !(*replay && self.output_is_terminal) => data.clone(),
            (_, true) => self.plain.next(data).replace('\n', "\r\n").into_bytes(),
            (_, false) => self.plain.next(data).into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(output_is_terminal: bool, interactive: bool, replay: bool) -> Vec<u8> {
        let terminal = Terminal::new(true);
        let mut shown =
            Shown { terminal, output_is_terminal, interactive, plain: Plain::default() };
        shown.bytes(&ConsoleChunk { data: b"\x1b[6na\n".to_vec(), replay })
    }

    #[test]
    fn only_a_live_line_of_somebody_who_types_reaches_a_terminal_as_it_is() {
        let raw = b"\x1b[6na\n".to_vec();
        assert_eq!(bytes(true, true, false), raw);
        assert_eq!(bytes(true, true, true), b"a\r\n");
        for replay in [true, false] {
            assert_eq!(bytes(true, false, replay), b"a\n");
            assert_eq!(bytes(false, true, replay), raw);
            assert_eq!(bytes(false, false, replay), raw);
        }
    }
}
