//! An operation under way, and what is asked of the VM meanwhile.

use std::pin::pin;
use std::time::Duration;

use banger_proto::{Code, Refusal};
use tokio::sync::watch;

use super::expiry;
use super::handle::Command;
use super::task::Task;

/// An operation that takes long, for commands that come meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Start,
    Stop,
    /// The first half of a restart; its second is a start.
    Restart,
}

impl Task {
    /// Carries an operation to its end. Commands that come meanwhile are answered where
    /// they contradict it, interrupt it where they overrule it, and wait otherwise. `None`
    /// when the daemon ends and the operation goes on without it: a guest that was asked to
    /// shut down does so, and the next daemon sees it end.
    pub(super) async fn attend<R>(
        &mut self,
        operation: Operation,
        interrupt: &watch::Sender<bool>,
        work: impl Future<Output = R>,
    ) -> Option<R> {
        let mut work = pin!(work);
        let mut open = true;
        let mut expired = pin!(expiry::wait(self.published.borrow().expires_at));
        let mut lives = true;
        loop {
            let command = tokio::select! {
                outcome = &mut work => return Some(outcome),
                asked = self.asked.recv(), if open => asked,
                // A guest that boots, or ends, writes as much as any.
                () = tokio::time::sleep_until(self.next_trim) => {
                    self.trim().await;
                    continue;
                }
                () = &mut expired, if lives => {
                    lives = false;
                    interrupt.send_replace(true);
                    continue;
                }
            };
            open = command.is_some();
            match command.unwrap_or(Command::Leave) {
                Command::Start(_, teller) if operation == Operation::Start => {
                    teller.end(Err(self.busy("is being started already")));
                }
                Command::Restart(_, _, teller) | Command::Remove { force: false, teller }
                    if operation == Operation::Start =>
                {
                    teller.end(Err(self.busy("is being started")));
                }
                Command::Start(_, teller)
                | Command::Restart(_, _, teller)
                | Command::Remove { force: false, teller }
                    if operation == Operation::Restart =>
                {
                    teller.end(Err(self.busy("is being restarted")));
                }
                command @ (Command::Hold(_) | Command::Release) => {
                    self.hold(command).await;
                    if self.released && self.published.borrow().ephemeral {
                        interrupt.send_replace(true);
                    }
                }
                command => {
                    let overrules = match &command {
                        Command::Stop(deadline, _) => {
                            operation == Operation::Start || *deadline == Some(Duration::ZERO)
                        }
                        Command::Remove { force, .. } => *force,
                        Command::Leave => operation == Operation::Start,
                        _ => false,
                    };
                    if overrules {
                        interrupt.send_replace(true);
                    }
                    let leave = matches!(command, Command::Leave);
                    self.waiting.push_back(command);
                    if leave && operation != Operation::Start {
                        return None;
                    }
                }
            }
        }
    }

    fn busy(&self, what: &str) -> Refusal {
        let name = &self.published.borrow().name;
        Refusal::new(Code::Aborted, format!("{name} {what}"))
            .hint(format!("wait for it, or break it off: banger vm stop {name}"))
    }

    /// Whether something came, or happened, that breaks off what is under way.
    pub(super) fn overruled(&self) -> bool {
        let record = self.published.borrow();
        self.released && record.ephemeral
            || expiry::is_over(record.expires_at)
            || self.waiting.iter().any(|command| {
                matches!(
                    command,
                    Command::Stop(..) | Command::Remove { force: true, .. } | Command::Leave
                )
            })
    }
}
