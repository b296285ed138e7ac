//! How a failure is told to scripts: one line of JSON on standard error.

use serde::Serialize;

use crate::failure::Failure;

/// What a command with `--json` writes to standard error when it fails.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct JsonError {
    error: Told,
}

/// A failure.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Failure"))]
struct Told {
    /// Its kind: `usage`, or one of gRPC's words in lower case, such as `not_found`.
    code: &'static str,
    /// What happened, in one line.
    message: String,
    /// Causes, outermost first.
    because: Vec<String>,
    /// What to do next; `null` when there is nothing sensible to say.
    r#try: Option<String>,
    /// The guest's last words on its console, as the guest wrote them; `null` when they do
    /// not help.
    console: Option<String>,
}

fn said(text: impl Into<String>) -> Option<String> {
    Some(text.into()).filter(|text| !text.is_empty())
}

impl From<&Failure> for JsonError {
    fn from(failure: &Failure) -> Self {
        Self {
            error: Told {
                code: failure.code(),
                message: failure.to_string(),
                because: failure.chain(),
                r#try: said(failure.hint()),
                console: said(failure.console_tail()),
            },
        }
    }
}

impl JsonError {
    /// A command line that is none; `text` is what people are told.
    pub(crate) fn usage(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default();
        let is_advice = |line: &&str| line.starts_with("tip: ");
        let (advice, because): (Vec<_>, Vec<_>) = lines
            .filter(|line| !line.starts_with("Usage: ") && !line.starts_with("For more "))
            .partition(is_advice);
        Self {
            error: Told {
                code: "usage",
                message: message.trim_start_matches("error: ").to_owned(),
                because: because.into_iter().map(str::to_owned).collect(),
                r#try: said(advice.join("; ").replace("tip: ", ""))
                    .or_else(|| said("banger --help")),
                console: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::{Code, Refusal};

    use super::*;

    #[test]
    fn a_refusal_with_everything() {
        let refusal = Refusal {
            stage: "boot_guest".into(),
            chain: vec!["timed out".into()],
            console_tail: "Kernel panic\n".into(),
            ..Refusal::new(Code::DeadlineExceeded, "cannot start web").hint("banger logs web")
        };
        let error = JsonError::from(&Failure::Refused(refusal));
        insta::assert_snapshot!(serde_json::to_string(&error).unwrap());
    }

    #[test]
    fn a_wrong_command_line() {
        let text = "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: \
                    '--json'\n\nUsage: banger ls [OPTIONS]\n\nFor more information, try '--help'.\n";
        insta::assert_snapshot!(serde_json::to_string(&JsonError::usage(text)).unwrap());
    }
}
