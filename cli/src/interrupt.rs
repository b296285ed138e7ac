//! The signals that ask this process to end.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// A signal that asks this process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `^C`.
    Int,
    /// What `kill` sends.
    Term,
    /// The terminal has gone.
    Hup,
    /// `^\`, where it must not leave a terminal as nobody wants it.
    Quit,
}

impl Signal {
    /// The exit code that shells have for a death by this signal.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Hup => 129,
            Self::Int => 130,
            Self::Quit => 131,
            Self::Term => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
            Self::Hup => "SIGHUP",
            Self::Quit => "SIGQUIT",
        })
    }
}

/// Holds off the signals' usual effect as long as it lives, and tells of them.
pub(crate) struct Interrupts {
    int: Listener,
    term: Listener,
    hup: Listener,
}

impl Interrupts {
    /// From now on signals are told here and do not end the process.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.int.recv() => Signal::Int,
            _ = self.term.recv() => Signal::Term,
            _ = self.hup.recv() => Signal::Hup,
        }
    }
}
