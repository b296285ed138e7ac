//! A long operation as it happens: a live line on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use banger_proto::client::Events;
use banger_proto::{Code, Event, Progress, Refusal, Stage};
use futures_util::StreamExt;

use super::live::{Live, QUICK, Words};
use super::{Counter, Terminal, Timings, plain, timings, units};
use crate::failure::Failure;

const DONE: Style = AnsiColor::Green.on_default();
const FAILED: Style = AnsiColor::Red.on_default();

/// A stage that lasts longer is announced where there is no live line.
const LONG: Duration = Duration::from_secs(10);
/// Before it has gone on for so long, nobody can say how fast it is.
const MEASURED: Duration = Duration::from_secs(1);

/// Shows the events of an operation until it ends, and gives back what it ends with.
pub(crate) async fn follow<T>(
    terminal: Terminal,
    timings: &mut Timings,
    mut events: Events<T>,
) -> Result<T, Failure> {
    let mut view = View::new(terminal);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = view.due() => {
                view.show();
                continue;
            }
        };
        match event {
            Some(Ok(Event::StageStarted(stage))) => view.begin(&stage),
            Some(Ok(Event::StageFinished(stage, time))) => {
                view.finish(&stage, time);
                timings.stage(stage, time);
            }
            Some(Ok(Event::Notice(text))) => {
                view.clear();
                terminal.note(&text);
            }
            Some(Ok(Event::Progress(progress))) => view.progress(progress),
            Some(Ok(Event::Done(done))) => return Ok(done),
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

/// Shows that something goes on which tells nothing of itself, once it is not quick.
pub(crate) async fn during<R>(terminal: Terminal, what: &str, work: impl Future<Output = R>) -> R {
    let mut work = std::pin::pin!(work);
    let mut view = View::new(terminal);
    view.begin(&Stage { name: what.to_owned(), detail: String::new() });
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = view.due() => view.show(),
        }
    }
}

/// The same for a copy, of which it is known how many bytes are done.
pub(crate) async fn copying<R>(
    terminal: Terminal,
    what: &str,
    counter: &Counter,
    work: impl Future<Output = R>,
) -> R {
    let mut work = std::pin::pin!(work);
    let mut view = View::new(terminal);
    view.begin(&Stage { name: what.to_owned(), detail: String::new() });
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = view.due() => {
                if counter.get() > 0 {
                    view.progress(Progress { bytes: counter.get(), total_bytes: None });
                }
                view.show();
            }
        }
    }
}

/// What is shown of the operation.
struct View {
    terminal: Terminal,
    /// On a terminal that can redraw a line.
    live: Option<Live>,
    stage: Option<Running>,
}

/// The stage that goes on.
struct Running {
    text: String,
    begun: Instant,
    announced: bool,
    words: Words,
    /// Where the bytes were when they were first heard of.
    first: Option<(Progress, Instant)>,
}

impl View {
    fn new(terminal: Terminal) -> Self {
        let live = (terminal.live && terminal.speaks()).then(|| Live::new(terminal));
        Self { terminal, live, stage: None }
    }

    fn begin(&mut self, stage: &Stage) {
        if let Some(live) = &mut self.live {
            live.settle();
        }
        let (name, detail) = (plain::line(&stage.name), plain::line(&stage.detail));
        let gap = if detail.is_empty() { "" } else { "  " };
        let text = format!("{name}{gap}{detail}");
        let words = Words { name, detail, ..Words::default() };
        let begun = Instant::now();
        self.stage = Some(Running { text, begun, announced: false, words, first: None });
    }

    fn progress(&mut self, progress: Progress) {
        let Some(stage) = &mut self.stage else { return };
        let of = progress.total_bytes.map(|all| format!(" of {}", units::bytes(all)));
        stage.words.done = format!("{}{}", units::bytes(progress.bytes), of.unwrap_or_default());
        let (first, since) = *stage.first.get_or_insert((progress, Instant::now()));
        if let Some(speed) = speed(first, progress, since.elapsed()) {
            stage.words.rate = format!("{}/s", units::bytes(speed));
            stage.words.left = left(progress, speed).unwrap_or_default();
        }
    }

    fn finish(&mut self, stage: &Stage, time: Duration) {
        self.stage = None;
        if time < QUICK || !self.terminal.speaks() {
            return;
        }
        self.clear();
        let line = timings::finished(stage, time);
        if self.live.is_some() {
            let done = if self.terminal.unicode { "✓" } else { "+" };
            self.terminal.line(&format!("{DONE}{done}{DONE:#} {line}"));
        } else {
            self.terminal.line(&line);
        }
    }

    /// The stage that goes on has failed; the error says why.
    fn fail(&mut self) {
        self.clear();
        if let (Some(stage), Some(_)) = (self.stage.take(), &self.live) {
            let failed = if self.terminal.unicode { "✗" } else { "x" };
            self.terminal.line(&format!("{FAILED}{failed}{FAILED:#} {}", stage.text));
        }
    }

    /// Returns when there is something to show.
    async fn due(&self) {
        match (&self.live, &self.stage) {
            (Some(live), Some(_)) => live.due().await,
            (None, Some(Running { begun, announced: false, .. })) if self.terminal.speaks() => {
                tokio::time::sleep_until((*begun + LONG).into()).await;
            }
            _ => std::future::pending().await,
        }
    }

    fn show(&mut self) {
        let Some(stage) = &mut self.stage else { return };
        if let Some(live) = &mut self.live {
            stage.words.time = stage.begun.elapsed();
            live.draw(&stage.words);
        } else {
            stage.announced = true;
            self.terminal.line(&format!("{} ...", stage.text));
        }
    }

    fn clear(&mut self) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
    }
}

/// Bytes a second, when that can be said already.
fn speed(first: Progress, now: Progress, time: Duration) -> Option<u64> {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let bytes = now.bytes.saturating_sub(first.bytes);
    (time >= MEASURED).then(|| bytes.saturating_mul(1000) / millis)
}

/// `24 s left`.
fn left(progress: Progress, speed: u64) -> Option<String> {
    let rest = progress.total_bytes?.saturating_sub(progress.bytes);
    let time = Duration::from_secs(rest.checked_div(speed)?.saturating_add(1));
    (rest > 0).then(|| format!("{} left", units::elapsed(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_what_the_measured_speed_says() {
        let at = |bytes: u64, total_bytes| Progress { bytes: bytes << 20, total_bytes };
        let total = Some(100 << 20);
        let second = Duration::from_secs(1);
        assert_eq!(speed(at(5, total), at(10, total), second / 2), None, "too early to say");
        let measured = speed(at(5, total), at(10, total), second * 2).unwrap();
        assert_eq!(measured, 5 << 19);
        assert_eq!(left(at(10, total), measured).unwrap(), "37 s left");
        assert_eq!(left(at(10, None), measured), None);
        assert_eq!(left(at(100, total), measured), None, "nothing is left");
        assert_eq!(left(at(10, total), 0), None, "it stands still");
    }
}
