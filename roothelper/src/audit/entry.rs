//! One entry of the log.

use std::time::Duration;

use crate::{Action, Authorisation, Method};

/// Who asked, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The user.
    pub uid: u32,
    /// The process, when there is one that is known.
    pub pid: Option<i32>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
    /// Nothing: whoever asked left before.
    Abandoned,
    /// It was allowed, and ended so.
    Ended(Outcome),
}

/// How something ended whose end nobody could foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A batch is on the device.
    Applied,
    /// It is not.
    NotApplied,
    /// The device does not tell.
    Unknown,
    /// A worker died of what it read.
    DataLoss,
}

impl Decision {
    /// The word of the field.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
            Self::Ended(Outcome::Applied) => "applied",
            Self::Ended(Outcome::NotApplied) => "not-applied",
            Self::Ended(Outcome::Unknown) => "unknown",
            Self::Ended(Outcome::DataLoss) => "data-loss",
        }
    }
}

/// A decision, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who asked.
    pub subject: Subject,
    /// For which call; `None` for a peer that was not let in.
    pub method: Option<Method>,
    /// About which VM.
    pub vm: Option<String>,
    /// About which of its devices: the disk's sequence number.
    pub device: Option<u64>,
    /// Which action polkit was asked about.
    pub action: Option<Action>,
    /// What was decided.
    pub decision: Decision,
    /// Why, in words of ours or escaped; empty for a yes.
    pub reason: String,
    /// What the client wrote that cannot be, escaped and cut.
    pub said: Option<String>,
    /// How long the decision took.
    pub duration: Duration,
    /// Entries of this uid that were left out before this one.
    pub suppressed: u64,
}

impl Entry {
    pub(super) fn new(subject: Subject, method: Option<Method>) -> Self {
        Self {
            subject,
            method,
            vm: None,
            device: None,
            action: None,
            decision: Decision::Abandoned,
            reason: String::new(),
            said: None,
            duration: Duration::ZERO,
            suppressed: 0,
        }
    }

    /// Whether entries like this are limited for each uid: all but those that polkit said yes to,
    /// and how these ended.
    pub(super) fn is_limited(&self) -> bool {
        let decided =
            self.method.is_some_and(|method| method.authorisation() != Authorisation::NotNeeded);
        !decided || matches!(self.decision, Decision::Refused | Decision::Abandoned)
    }

    /// Its fields beside the message, as the journal calls them.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("BANGER_UID", self.subject.uid.to_string()),
            ("BANGER_DECISION", self.decision.word().to_owned()),
            ("BANGER_DURATION_USEC", self.duration.as_micros().to_string()),
        ];
        let mut also =
            |name, value: Option<String>| fields.extend(value.map(|value| (name, value)));
        also("BANGER_PID", self.subject.pid.map(|pid| pid.to_string()));
        also("BANGER_VERB", self.method.map(|method| method.name().to_owned()));
        also("BANGER_VM", self.vm.clone());
        also("BANGER_DEVICE", self.device.map(|device| device.to_string()));
        also("BANGER_ACTION", self.action.map(|action| action.id().to_owned()));
        also("BANGER_REASON", Some(self.reason.clone()).filter(|reason| !reason.is_empty()));
        also("BANGER_SAID", self.said.clone());
        also("BANGER_SUPPRESSED", Some(self.suppressed.to_string()).filter(|count| count != "0"));
        fields
    }

    /// The same in one line, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { subject, method, vm, reason, said, suppressed, .. } = self;
        let mut line = format!("uid {}", subject.uid);
        if let Some(pid) = subject.pid {
            line += &format!(" (pid {pid})");
        }
        line = line + " " + self.decision.word();
        if let Some(method) = method {
            line = line + " " + method.name();
        }
        if let Some(vm) = vm {
            line = line + " of VM " + vm;
        }
        if !reason.is_empty() {
            line = line + ": " + reason;
        }
        if let Some(said) = said {
            line += &format!(" \"{said}\"");
        }
        if *suppressed > 0 {
            line += &format!("; {suppressed} entries of this user were left out before");
        }
        line
    }
}
