//! A session of somebody's in a guest: a command or a login shell on this process's streams.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};

use banger_proto::{SshSession, SshTarget, VmId, VmName};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::channel::{Channel, Pipes, SshError};
use super::quote;
use super::setting::{self, Setting};
use crate::interrupt::Interrupts;

/// Runs `command`, or the login shell when it is empty, in the guest, and gives back its
/// exit code. The guest's side gets a terminal exactly when there is one here.
pub(crate) async fn run(
    vm: &VmName,
    target: &SshTarget,
    setting: &Setting,
    command: &[OsString],
    interrupts: &mut Interrupts,
) -> Result<u8, SshError> {
    let file = match setting.script() {
        Some(script) => Some(send(vm, target, &script, interrupts).await?),
        None => None,
    };
    let line = (!command.is_empty() || !setting.is_plain())
        .then(|| quote::command_line(&setting.prelude(file.as_deref()), command));
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let session = SshSession { line: line.as_deref(), escapes: command.is_empty(), terminal };
    let restore = terminal.then(SavedTerminal::save).flatten();
    let ended = Channel::begin(vm, target, session)?.end(interrupts).await;
    drop(restore);
    ended
}

/// Puts a script into a file of root's in the guest, and gives back its name.
async fn send(
    vm: &VmName,
    target: &SshTarget,
    script: &[u8],
    interrupts: &mut Interrupts,
) -> Result<String, SshError> {
    let file = setting::file(VmId::random());
    let (channel, Pipes { mut input, output, mut errors }) =
        Channel::open(vm, target, &setting::receiver(&file))?;
    drop(output);
    let script = script.to_vec();
    let said = tokio::task::spawn_blocking(move || {
        // That it cannot be written is told by how the channel ends.
        let _told_later = input.write_all(&script);
        drop(input);
        let mut said = String::new();
        let _told_later = errors.read_to_string(&mut said);
        said
    });
    let ended = channel.end(interrupts).await;
    let said = said.await.unwrap_or_default();
    match ended? {
        0 => Ok(file),
        _ => Err(SshError::Variables { words: said.lines().map(str::to_owned).collect() }),
    }
}

/// The terminal as it was; put back when ssh could not do it itself.
struct SavedTerminal(Termios);

impl SavedTerminal {
    fn save() -> Option<Self> {
        tcgetattr(io::stdin()).ok().map(Self)
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        // Fails when the terminal has gone, and then there is nothing to put back.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
