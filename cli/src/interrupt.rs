//! The signals that ask this process to end.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// How many [`Interrupts`] there are.
static CLAIMS: AtomicUsize = AtomicUsize::new(0);

/// Waits for a signal that nobody else in this process attends to.
///
/// # Errors
/// What the system said.
pub(crate) async fn unclaimed() -> io::Result<Signal> {
    let mut signals = Signals::listen()?;
    loop {
        let signal = signals.next().await;
        if CLAIMS.load(Ordering::Relaxed) == 0 {
            return Ok(signal);
        }
    }
}

/// A command's own way with signals: as long as it lives they are told here and end nothing
/// by themselves.
pub(crate) struct Interrupts {
    signals: Signals,
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        CLAIMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The signals as they come.
struct Signals {
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
        let signals = Signals::listen()?;
        CLAIMS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { signals })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        self.signals.next().await
    }
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.int.recv() => Signal::Int,
            _ = self.term.recv() => Signal::Term,
            _ = self.hup.recv() => Signal::Hup,
        }
    }
}
