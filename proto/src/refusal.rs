//! How an error crosses the socket: what, because, try.

use prost::Message;
use tonic::Status;

use crate::{Invalid, wire::daemon::ErrorDetail};

/// The kinds of refusal that callers tell apart; gRPC's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request cannot be right, whatever the state of things.
    InvalidArgument,
    /// What it names does not exist.
    NotFound,
    /// What it would make exists.
    AlreadyExists,
    /// Whoever asks is nobody who may.
    Unauthenticated,
    /// Whoever asks may not.
    PermissionDenied,
    /// Something else has to be done first.
    FailedPrecondition,
    /// The host has not enough of something.
    ResourceExhausted,
    /// Another operation on the same thing is under way.
    Aborted,
    /// It took too long.
    DeadlineExceeded,
    /// The other side cannot be reached, or ends.
    Unavailable,
    /// The stored data is damaged.
    DataLoss,
    /// The other side's version does not have it.
    Unimplemented,
    /// A defect, or an operating system that said no where it should not.
    Internal,
}

impl Code {
    const TABLE: [(Self, tonic::Code); 13] = [
        (Self::InvalidArgument, tonic::Code::InvalidArgument),
        (Self::NotFound, tonic::Code::NotFound),
        (Self::AlreadyExists, tonic::Code::AlreadyExists),
        (Self::Unauthenticated, tonic::Code::Unauthenticated),
        (Self::PermissionDenied, tonic::Code::PermissionDenied),
        (Self::FailedPrecondition, tonic::Code::FailedPrecondition),
        (Self::ResourceExhausted, tonic::Code::ResourceExhausted),
        (Self::Aborted, tonic::Code::Aborted),
        (Self::DeadlineExceeded, tonic::Code::DeadlineExceeded),
        (Self::Unavailable, tonic::Code::Unavailable),
        (Self::DataLoss, tonic::Code::DataLoss),
        (Self::Unimplemented, tonic::Code::Unimplemented),
        (Self::Internal, tonic::Code::Internal),
    ];

    /// The word for it, for scripts: gRPC's in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::FailedPrecondition => "failed_precondition",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Aborted => "aborted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
        }
    }
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// What happened, in one line.
    pub message: String,
    /// Causes, outermost first.
    pub chain: Vec<String>,
    /// What to do next; empty when there is nothing sensible to say.
    pub hint: String,
    /// The stage that failed; empty outside of staged operations.
    pub stage: String,
    /// Last lines of the guest's console when they help; written by the guest.
    pub console_tail: String,
}

impl Refusal {
    /// Longest text that crosses in one field, in bytes: headers are limited.
    const LONGEST: usize = 1500;

    /// A refusal of one line.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            chain: Vec::new(),
            hint: String::new(),
            stage: String::new(),
            console_tail: String::new(),
        }
    }

    /// A refusal that tells an error and its causes, each once where one only wraps another.
    #[must_use]
    pub fn from_error(code: Code, error: &dyn std::error::Error) -> Self {
        let mut refusal = Self::new(code, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Libraries wrap errors and say the same again.
            if words != *refusal.chain.last().unwrap_or(&refusal.message) {
                refusal.chain.push(words);
            }
            cause = error.source();
        }
        refusal
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The last part of `text` that fits, cut at a character.
fn tail(text: &str, longest: usize) -> &str {
    let start = (text.len().saturating_sub(longest)..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    text.get(start..).unwrap_or_default()
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = Code::TABLE
            .iter()
            .find(|row| row.0 == refusal.code)
            .map_or(tonic::Code::Internal, |row| row.1);
        let detail = ErrorDetail {
            message: tail(&refusal.message, Refusal::LONGEST).to_owned(),
            chain: refusal
                .chain
                .iter()
                .map(|cause| tail(cause, Refusal::LONGEST / 4).to_owned())
                .take(8)
                .collect(),
            hint: tail(&refusal.hint, Refusal::LONGEST / 2).to_owned(),
            stage: refusal.stage,
            console_tail: tail(&refusal.console_tail, Refusal::LONGEST).to_owned(),
        };
        Self::with_details(code, detail.message.clone(), detail.encode_to_vec().into())
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let code = Code::TABLE
            .iter()
            .find(|row| row.1 == status.code())
            .map_or(Code::Internal, |row| row.0);
        match ErrorDetail::decode(status.details()) {
            Ok(detail) if !detail.message.is_empty() => Self {
                code,
                message: detail.message,
                chain: detail.chain,
                hint: detail.hint,
                stage: detail.stage,
                console_tail: detail.console_tail,
            },
            // Not ours: the transport's own word, without the shape of its type around it.
            _ if !status.message().is_empty() => {
                Self { message: status.message().to_owned(), ..Self::from_error(code, &status) }
            }
            _ => Self::from_error(code, &status),
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::new(Code::InvalidArgument, invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        for (code, _) in Code::TABLE {
            let refusal = Refusal {
                code,
                message: "cannot start web".into(),
                chain: vec!["no QEMU".into()],
                hint: "apt-get install qemu-system-x86".into(),
                stage: "spawn_vmm".into(),
                console_tail: "Kernel panic".into(),
            };
            assert_eq!(Refusal::from(Status::from(refusal.clone())), refusal);
        }
    }

    #[test]
    fn a_cause_that_only_wraps_another_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{words}")]
        struct Wrapper {
            words: &'static str,
            source: std::io::Error,
        }
        let chain = |outside: &'static str| {
            let outside = Wrapper { words: outside, source: std::io::Error::other("inside") };
            let whole = Wrapper { words: "no answer", source: std::io::Error::other(outside) };
            Refusal::from_error(Code::Internal, &whole).chain
        };
        assert_eq!(chain("inside"), ["inside"]);
        assert_eq!(chain("outside"), ["outside", "inside"]);
    }

    #[test]
    fn a_transport_error_is_told_as_it_is() {
        let refusal = Refusal::from(Status::unavailable("tcp connect error"));
        assert_eq!(refusal.code, Code::Unavailable);
        assert!(refusal.message.contains("tcp connect error"));
    }

    #[test]
    fn what_the_guest_wrote_does_not_overflow_the_header() {
        let refusal =
            Refusal { console_tail: "é\n".repeat(100_000), ..Refusal::new(Code::Internal, "x") };
        let back = Refusal::from(Status::from(refusal));
        assert!(back.console_tail.len() <= Refusal::LONGEST);
        assert!(back.console_tail.ends_with("é\n"));
    }
}
