//! What a long operation tells its caller while it goes on, and how it ends.

use std::future::Future;
use std::time::{Duration, Instant};

use banger_proto::{Event, Progress, Refusal, Stage};
use tokio::sync::mpsc;

/// What arrives at the caller: events, and at most one refusal as the last.
pub type Told<T> = Result<Event<T>, Refusal>;

/// Tells the caller of one operation. That the caller has gone away is no reason to
/// stop: an operation belongs to the VM, not to whoever asked for it.
#[derive(Debug)]
pub struct Teller<T> {
    sender: mpsc::UnboundedSender<Told<T>>,
}

impl<T> Clone for Teller<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<T> Teller<T> {
    /// A teller, and where its words arrive. Nothing is ever held back: an operation
    /// has a handful of stages, and whoever reports progress does so sparingly.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Told<T>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    fn tell(&self, told: Told<T>) {
        // Fails when nobody listens any more, which is the caller's right.
        let _nobody_listens = self.sender.send(told);
    }

    /// One line that the user should see.
    pub fn notice(&self, text: impl Into<String>) {
        self.tell(Ok(Event::Notice(text.into())));
    }

    /// How far the running stage is.
    pub fn progress(&self, bytes: u64, total_bytes: Option<u64>) {
        self.tell(Ok(Event::Progress(Progress { bytes, total_bytes })));
    }

    /// The operation's end.
    pub fn end(&self, outcome: Result<T, Refusal>) {
        self.tell(outcome.map(Event::Done));
    }

    /// Returns when the caller has gone away.
    pub async fn abandoned(&self) {
        self.sender.closed().await;
    }

    /// Runs one stage: tells its beginning and its end with the time it took, and puts
    /// its name on a refusal.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn stage<R>(
        &self,
        name: &'static str,
        detail: &str,
        work: impl Future<Output = Result<R, Refusal>>,
    ) -> Result<R, Refusal> {
        let stage = Stage { name: name.to_owned(), detail: detail.to_owned() };
        let begun = Instant::now();
        self.tell(Ok(Event::StageStarted(stage.clone())));
        let outcome = work.await;
        let took = begun.elapsed();
        match outcome {
            Ok(result) => {
                tracing::debug!(stage = name, detail, took_us = took.as_micros(), "stage");
                self.tell(Ok(Event::StageFinished(stage, took)));
                Ok(result)
            }
            Err(mut refusal) => {
                if refusal.stage.is_empty() {
                    name.clone_into(&mut refusal.stage);
                }
                Err(refusal)
            }
        }
    }
}

/// Says when it is time for the next report of progress: a few times a second are enough
/// for whoever looks on.
#[derive(Debug)]
pub struct Sparingly {
    last: Instant,
}

impl Sparingly {
    /// Least time between two reports.
    const APART: Duration = Duration::from_millis(100);

    /// The first report is due after a while too: what is quick needs none.
    #[must_use]
    pub fn begin() -> Self {
        Self { last: Instant::now() }
    }

    /// Whether a report is due; when it is, the next one is due after a while.
    pub fn now(&mut self) -> bool {
        let due = self.last.elapsed() >= Self::APART;
        if due {
            self.last = Instant::now();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::Code;

    use super::*;

    #[tokio::test]
    async fn stages_are_told_in_order_and_a_refusal_names_its_stage() {
        let (teller, mut told) = Teller::<u8>::channel();
        teller.stage("one", "first", async { Ok(()) }).await.unwrap();
        let refusal = teller
            .stage("two", "", async { Err::<(), _>(Refusal::new(Code::Internal, "no")) })
            .await
            .unwrap_err();
        assert_eq!(refusal.stage, "two");
        teller.end(Err(refusal));
        drop(teller);
        let mut words = Vec::new();
        while let Some(told) = told.recv().await {
            words.push(match told {
                Ok(Event::StageStarted(stage)) => format!("+{} {}", stage.name, stage.detail),
                Ok(Event::StageFinished(stage, _)) => format!("-{}", stage.name),
                Err(refusal) => format!("!{}", refusal.stage),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(words, ["+one first", "-one", "+two ", "!two"]);
    }
}
