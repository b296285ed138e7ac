//! The terminal in raw mode: every key goes to the guest, until this ends.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// As long as it lives, the terminal of standard input hands over keys as they are pressed
/// and bytes go to it unchanged. What ends it puts the terminal back: the end of its scope,
/// and a panic also where that ends the process at once.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters it.
    ///
    /// # Errors
    /// When standard input is no terminal, or not ours to change.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let saved = before.clone();
        let inner = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            put_back(&saved);
            inner(info);
        }));
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        put_back(&self.before);
    }
}

fn put_back(before: &Termios) {
    // Fails when the terminal has gone, and then there is nothing to put back.
    let _gone = tcsetattr(io::stdin(), OptionalActions::Drain, before);
}
