//! All that is printed: results on standard output, everything else on standard error.

mod checks;
mod counter;
mod error;
mod failure;
mod live;
mod plain;
mod raw_mode;
mod screen;
mod stages;
mod table;
mod timings;
mod units;

use std::io::{self, IsTerminal, Write};

pub(crate) use counter::Counter;
pub(crate) use error::JsonError;
pub(crate) use plain::{Plain, line as plain_line};
pub(crate) use raw_mode::RawMode;
pub(crate) use screen::{columns as window, wrapped};
pub(crate) use stages::{copying, during, follow};
pub(crate) use table::{fields, table};
#[cfg(test)]
pub(crate) use timings::Json as JsonTimings;
pub(crate) use timings::Timings;
pub(crate) use units::{age, bytes, left, moment};

use crate::failure::Failure;
use crate::interrupt::Signal;

/// Where a command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    quiet: bool,
    /// Whether errors are for scripts.
    json: bool,
    /// Whether standard error is a terminal that can redraw a line.
    live: bool,
    /// Whether more than ASCII may be shown.
    unicode: bool,
    output_is_terminal: bool,
}

impl Terminal {
    /// The terminal of this process; `quiet` leaves out all but results and errors.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            json: false,
            live: screen::can_redraw(),
            unicode: screen::is_unicode(|name| std::env::var(name).ok()),
            output_is_terminal: io::stdout().is_terminal(),
        }
    }

    /// The same with errors for scripts when `json` says so.
    pub(crate) const fn with_json(self, json: bool) -> Self {
        Self { json, ..self }
    }

    /// Whether only results and errors are wanted.
    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether more is wanted than results and errors.
    const fn speaks(self) -> bool {
        !self.quiet && !self.json
    }

    /// What stands for what was cut off.
    const fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// Whether results go to a terminal: what a guest wrote must then lose its control
    /// sequences.
    pub(crate) const fn output_is_terminal(self) -> bool {
        self.output_is_terminal
    }

    /// Whether somebody types here.
    pub(crate) fn input_is_terminal(self) -> bool {
        io::stdin().is_terminal()
    }

    /// A result: one or several lines.
    pub(crate) fn result(self, text: &str) -> Result<(), Failure> {
        writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n')).map_err(Failure::Output)
    }

    /// A result of bytes, as they are.
    pub(crate) fn raw(self, data: &[u8]) -> Result<(), Failure> {
        let mut output = io::stdout().lock();
        output.write_all(data).and_then(|()| output.flush()).map_err(Failure::Output)
    }

    /// The same for whoever keeps the error.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn pass(self, data: &[u8]) -> io::Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(data).and_then(|()| output.flush())
    }

    /// A result that others read: JSON.
    pub(crate) fn json(self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::Output(io::Error::other(error)))?;
        self.result(&text)
    }

    /// What the doctor found; `quiet` leaves out what is ok.
    pub(crate) fn checks(self, checks: &[banger_proto::Check]) -> Result<(), Failure> {
        let home = std::env::var("HOME").unwrap_or_default();
        let text = checks::render(checks, self.quiet, &home);
        if text.is_empty() { Ok(()) } else { self.result(&text) }
    }

    /// One line that the user should know.
    pub(crate) fn note(self, text: &str) {
        if self.speaks() {
            self.line(&failure::without_numbers(&plain::line(text)));
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            self.error(&failure.into());
        } else {
            self.line(&failure::render(failure));
        }
    }

    /// An error for scripts.
    pub(crate) fn error(self, error: &JsonError) {
        // A value without maps and without floats always has a text.
        self.line(&serde_json::to_string(error).unwrap_or_default());
    }

    /// A signal ended the command; `afterwards` says what becomes of what it asked for.
    pub(crate) fn interrupted(self, signal: Signal, afterwards: &str) {
        if signal == Signal::Int && !self.json && io::stderr().is_terminal() {
            // Whoever typed ^C knows; its echo stands where the shell would go on.
            self.line("");
        } else {
            self.failure(&Failure::Interrupted(signal));
        }
        if !afterwards.is_empty() {
            self.note(afterwards);
        }
    }

    /// The table of `--timings`, which was asked for: `quiet` does not leave it out.
    pub(crate) fn timings(self, timings: &Timings) {
        self.line(&timings.render(screen::columns(&io::stderr()), self.ellipsis()));
    }

    /// The same for scripts.
    pub(crate) fn timings_json(self, timings: &Timings) {
        self.line(&serde_json::to_string(&timings.json()).unwrap_or_default());
    }

    /// One or several lines on standard error. That nobody reads them is no reason to fail.
    fn line(self, text: &str) {
        let _nobody_reads = writeln!(anstream::stderr(), "{}", text.trim_end_matches('\n'));
    }
}
