//! An authority for tests: it answers as it is told, in turn.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use banger_proto::roothelper::Interaction;

use super::{Asked, Authority, Denied};
use crate::{Action, Caller};

/// One answer.
pub enum Scripted {
    /// Yes.
    Yes,
    /// No, by a rule.
    No,
    /// Somebody would have to authenticate.
    Challenge,
    /// The same as the next, after a while.
    Slow(Duration, Box<Self>),
    /// None, ever: who waits must give up.
    Never,
    /// polkit goes away.
    Dies,
    /// Nothing that can be understood.
    Garbled,
    /// The next, after something has happened: the caller ends, say.
    After(Box<dyn FnOnce() + Send>, Box<Self>),
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Yes => "Yes",
            Self::No => "No",
            Self::Challenge => "Challenge",
            Self::Slow(..) => "Slow",
            Self::Never => "Never",
            Self::Dies => "Dies",
            Self::Garbled => "Garbled",
            Self::After(..) => "After",
        })
    }
}

/// A question that was asked: uid, action, interaction.
pub type Question = (u32, Action, Interaction);

/// Answers in turn, and no to everything after the last.
#[derive(Debug, Default)]
pub struct Simulated {
    answers: Mutex<VecDeque<Scripted>>,
    always: Option<Verdict>,
    questions: Mutex<Vec<Question>>,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Yes,
    No,
}

impl Simulated {
    /// Answers these in turn, then always no.
    pub fn script(answers: impl IntoIterator<Item = Scripted>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() }
    }

    /// Says yes to everybody.
    #[must_use]
    pub fn yes() -> Self {
        Self { always: Some(Verdict::Yes), ..Self::default() }
    }

    /// Says no to everybody.
    #[must_use]
    pub fn no() -> Self {
        Self { always: Some(Verdict::No), ..Self::default() }
    }

    /// What it was asked.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next(&self) -> Scripted {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match (answers.pop_front(), self.always) {
            (Some(answer), _) => answer,
            (None, Some(Verdict::Yes)) => Scripted::Yes,
            (None, _) => Scripted::No,
        }
    }
}

impl Authority for Simulated {
    fn ask<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        interaction: Interaction,
    ) -> Asked<'a> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push((
            caller.uid().get(),
            action,
            interaction,
        ));
        let mut answer = self.next();
        Box::pin(async move {
            loop {
                return match answer {
                    Scripted::Yes => Ok(()),
                    Scripted::No => Err(Denied::NotAuthorised(action)),
                    Scripted::Challenge => Err(Denied::NobodyToAsk(action)),
                    Scripted::Never => std::future::pending().await,
                    Scripted::Dies => Err(Denied::Unreachable(zbus::Error::InputOutput(
                        std::sync::Arc::new(std::io::ErrorKind::ConnectionReset.into()),
                    ))),
                    Scripted::Garbled => Err(Denied::Garbled(None)),
                    Scripted::Slow(pause, next) => {
                        tokio::time::sleep(pause).await;
                        answer = *next;
                        continue;
                    }
                    Scripted::After(event, next) => {
                        event();
                        answer = *next;
                        continue;
                    }
                };
            }
        })
    }
}
