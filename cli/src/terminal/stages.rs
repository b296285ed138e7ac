//! A long operation as it happens: a live line on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use banger_proto::client::Events;
use banger_proto::{Code, Event, Progress, Refusal, Stage};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Terminal, Timings, plain, timings, units};
use crate::failure::Failure;

const DONE: Style = AnsiColor::Green.on_default();
const FAILED: Style = AnsiColor::Red.on_default();

/// A stage that lasts longer is announced where there is no live line.
const LONG: Duration = Duration::from_secs(3);

/// Shows the events of an operation until it ends, and gives back what it ends with.
pub(crate) async fn follow<T>(
    terminal: Terminal,
    timings: &mut Timings,
    mut events: Events<T>,
) -> Result<T, Failure> {
    let mut view = View { terminal, stage: None };
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = view.long_stage() => {
                view.announce();
                continue;
            }
        };
        match event {
            Some(Ok(Event::StageStarted(stage))) => view.begin(&stage),
            Some(Ok(Event::StageFinished(stage, time))) => {
                view.finish(&stage, time);
                timings.stage(stage, time);
            }
            Some(Ok(Event::Notice(text))) => view.aside(|terminal| terminal.note(&text)),
            Some(Ok(Event::Progress(progress))) => view.progress(progress),
            Some(Ok(Event::Done(done))) => {
                view.clear();
                return Ok(done);
            }
            Some(Err(refusal)) => {
                view.fail();
                return Err(Failure::Refused(refusal));
            }
            None => {
                view.fail();
                let refusal = Refusal::new(Code::Unavailable, "bangerd ended before it was done");
                return Err(refusal.hint("the same again; bangerd is started anew").into());
            }
        }
    }
}

/// What is shown of the operation.
struct View {
    terminal: Terminal,
    stage: Option<Shown>,
}

/// The stage that goes on.
struct Shown {
    text: String,
    begun: Instant,
    announced: bool,
    live: Option<ProgressBar>,
}

impl View {
    fn begin(&mut self, stage: &Stage) {
        self.clear();
        let detail = plain::line(&stage.detail);
        let gap = if detail.is_empty() { "" } else { "  " };
        let text = format!("{}{gap}{detail}", plain::line(&stage.name));
        let live = (self.terminal.live && !self.terminal.quiet).then(|| live_line(&text));
        self.stage = Some(Shown { text, begun: Instant::now(), announced: false, live });
    }

    fn progress(&mut self, progress: Progress) {
        if let Some(Shown { text, begun, live: Some(line), .. }) = &self.stage {
            line.set_message(format!("{text}  {}", rate(progress, begun.elapsed())));
        }
    }

    fn finish(&mut self, stage: &Stage, time: Duration) {
        self.clear();
        if self.terminal.quiet {
            return;
        }
        let line = timings::finished(stage, time);
        if self.terminal.live {
            self.terminal.line(&format!("{DONE}✓{DONE:#} {line}"));
        } else {
            self.terminal.line(&line);
        }
    }

    /// The stage that goes on has failed; the error says why.
    fn fail(&mut self) {
        let Some(shown) = self.stage.take() else { return };
        if let Some(line) = shown.live {
            line.finish_and_clear();
            self.terminal.line(&format!("{FAILED}✗{FAILED:#} {}", shown.text));
        }
    }

    /// Returns when a stage has become long and nothing shows that it goes on.
    async fn long_stage(&self) {
        match &self.stage {
            Some(Shown { begun, announced: false, live: None, .. }) if !self.terminal.quiet => {
                tokio::time::sleep(LONG.saturating_sub(begun.elapsed())).await;
            }
            _ => std::future::pending().await,
        }
    }

    fn announce(&mut self) {
        if let Some(shown) = &mut self.stage {
            shown.announced = true;
            self.terminal.line(&format!("{} ...", shown.text));
        }
    }

    /// Prints while the live line stands aside.
    fn aside(&self, print: impl FnOnce(Terminal)) {
        match &self.stage {
            Some(Shown { live: Some(line), .. }) => line.suspend(|| print(self.terminal)),
            _ => print(self.terminal),
        }
    }

    fn clear(&mut self) {
        if let Some(Shown { live: Some(line), .. }) = self.stage.take() {
            line.finish_and_clear();
        }
    }
}

/// An interrupted operation leaves no half line behind.
impl Drop for View {
    fn drop(&mut self) {
        self.clear();
    }
}

fn live_line(text: &str) -> ProgressBar {
    let line = ProgressBar::new_spinner();
    // The template is fixed and right; the plain one is no worse than an error.
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    line.set_style(style);
    line.set_message(text.to_owned());
    line.enable_steady_tick(Duration::from_millis(100));
    line
}

/// `120 MiB of 1.2 GiB, 45 MiB/s`.
fn rate(progress: Progress, elapsed: Duration) -> String {
    let of = progress.total_bytes.map(|all| format!(" of {}", units::bytes(all)));
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let rate = (millis > 200)
        .then(|| format!(", {}/s", units::bytes(progress.bytes.saturating_mul(1000) / millis)));
    format!(
        "{}{}{}",
        units::bytes(progress.bytes),
        of.unwrap_or_default(),
        rate.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_bytes_and_rate() {
        let progress = |bytes, total_bytes| Progress { bytes, total_bytes };
        let second = Duration::from_secs(1);
        assert_eq!(
            rate(progress(5 << 20, Some(10 << 20)), second),
            "5.0 MiB of 10.0 MiB, 5.0 MiB/s"
        );
        assert_eq!(rate(progress(5 << 20, None), Duration::ZERO), "5.0 MiB");
    }
}
