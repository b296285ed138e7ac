//! A machine of the testbed for people: a shell on this terminal, or one command and its status.

use std::io::{Error, IsTerminal, Read, Result, Write};
use std::process::ExitCode;
use std::time::Duration;

use banger_tests::testbed::{Ended, Machine, Payload, start};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Ends the machine, whatever it does: Ctrl-].
const END: u8 = 0x1d;

fn main() -> Result<ExitCode> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words.is_empty() && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Error::other("a shell needs a terminal: give a command as an argument"));
    }
    let Some(mut machine) = start(Payload::default().on_prepared()) else {
        return Ok(ExitCode::FAILURE);
    };
    if words.is_empty() {
        return shell(&mut machine);
    }
    let outcome = machine.carry_out(&words.join(" "), Duration::from_secs(3600));
    match outcome.ended {
        Ended::Status(status) => {
            std::io::stdout().write_all(outcome.output.as_bytes())?;
            Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
        }
        Ended::Hung | Ended::Crashed => Err(Error::other(outcome.told(&machine.console()))),
    }
}

/// Puts the terminal back when it is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn shell(machine: &mut Machine) -> Result<ExitCode> {
    eprintln!(
        "==> root in the testbed, programs in /payload/bin; `exit` or Ctrl-] ends it, and nothing of it stays"
    );
    let size = tcgetwinsize(std::io::stdout())?;
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let command = format!(
        "stty rows {} cols {}; TERM={} PATH=$PATH:/payload/bin bash --login",
        size.ws_row,
        size.ws_col,
        term.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "")
    );
    let raw = Raw::new()?;
    let mut line = machine.terminal(&command)?;
    let mut to = line.stream()?;
    // Ends with this program: nobody can be kept from typing.
    std::thread::spawn(move || -> Result<()> {
        let mut keys = std::io::stdin();
        let mut typed = [0; 256];
        loop {
            let count = keys.read(&mut typed)?;
            if count == 0 || typed[..count].contains(&END) {
                return to.shutdown(std::net::Shutdown::Both);
            }
            to.write_all(&typed[..count])?;
        }
    });
    let mut screen = std::io::stdout();
    while let Some(text) = line.read()? {
        screen.write_all(&text)?;
        screen.flush()?;
    }
    drop(raw);
    eprintln!();
    Ok(ExitCode::SUCCESS)
}
