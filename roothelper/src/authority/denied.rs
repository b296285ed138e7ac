//! Why a caller may not, and what would help.

use std::time::Duration;

use banger_proto::roothelper::Answer;
use banger_proto::{Code, Refusal};

use crate::Action;

/// What membership takes: the command for whoever reads it.
const JOIN: &str = "sudo usermod -aG banger \"$(id -un)\"";

/// Every answer that is no yes.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// A rule says no, whoever were to authenticate.
    #[error("polkit does not allow {}", .0.id())]
    NotAuthorised(Action),
    /// Somebody would have to authenticate, and nobody could be asked.
    #[error("{} needs an administrator's password, and there is nobody to ask for it here", .0.id())]
    NobodyToAsk(Action),
    /// Somebody was asked and did not authenticate.
    #[error("{} was not authorised: the question was dismissed", .0.id())]
    Dismissed(Action),
    /// polkit has no such action: its file is not where polkit looks.
    #[error("polkit does not know the action {}", .0.id())]
    Unregistered(Action, #[source] zbus::Error),
    /// There is no bus, or nobody on it.
    #[error("polkit cannot be asked")]
    Unreachable(#[source] zbus::Error),
    /// It answered that it failed.
    #[error("polkit could not answer")]
    Failed(#[source] zbus::Error),
    /// It answered something that is no answer.
    #[error("polkit's answer cannot be understood")]
    Garbled(#[source] Option<zbus::Error>),
    /// It did not answer in time.
    #[error("polkit did not answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// Who asked has ended.
    #[error("the process that asked has ended")]
    CallerEnded,
    /// The helper was told to end while it waited for the answer.
    #[error("the root helper was told to end before there was an answer")]
    Ending,
}

impl Denied {
    /// One word for the log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotAuthorised(_) => "not-authorised",
            Self::NobodyToAsk(_) => "nobody-to-ask",
            Self::Dismissed(_) => "dismissed",
            Self::Unregistered(..) => "unregistered-action",
            Self::Unreachable(_) => "polkit-unreachable",
            Self::Failed(_) => "polkit-failed",
            Self::Garbled(_) => "polkit-garbled",
            Self::Silent(_) => "polkit-silent",
            Self::CallerEnded => "caller-ended",
            Self::Ending => "helper-ending",
        }
    }

    /// The same to whoever only wants to know beforehand.
    #[must_use]
    pub const fn answer(&self) -> Answer {
        match self {
            Self::NotAuthorised(_) | Self::Dismissed(_) => Answer::No,
            Self::NobodyToAsk(_) => Answer::Challenge,
            _ => Answer::Unknown,
        }
    }

    /// What the caller is told, with what helps.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let (code, hint) = match self {
            Self::NotAuthorised(action) => (
                Code::PermissionDenied,
                format!(
                    "a rule of this computer says no: grep -r {} /etc/polkit-1/rules.d",
                    action.id()
                ),
            ),
            Self::NobodyToAsk(_) => (
                Code::FailedPrecondition,
                format!(
                    "{JOIN} and log in anew; for a member of the group it is \
                     /usr/share/polkit-1/rules.d/dev.banger.roothelper.rules that is missing: \
                     sudo make install"
                ),
            ),
            Self::Dismissed(_) => (
                Code::PermissionDenied,
                format!("ask again, or become one who is not asked: {JOIN}"),
            ),
            Self::Unregistered(..) => (
                Code::FailedPrecondition,
                "/usr/share/polkit-1/actions/dev.banger.roothelper.policy is missing: sudo make install"
                    .to_owned(),
            ),
            Self::Unreachable(_) => {
                (Code::PermissionDenied, "sudo systemctl start dbus.socket polkit.service".to_owned())
            }
            Self::Failed(_) | Self::Garbled(_) | Self::Silent(_) => {
                (Code::PermissionDenied, "sudo systemctl restart polkit.service".to_owned())
            }
            Self::CallerEnded => (Code::Unauthenticated, String::new()),
            Self::Ending => {
                (Code::Unavailable, "ask again, which starts another root helper".to_owned())
            }
        };
        Refusal::from_error(code, self).hint(hint)
    }
}
