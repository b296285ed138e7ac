//! How a failure is told: what, because, the guest's last words, what to try.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::plain;
use crate::failure::Failure;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const LABEL: Style = Style::new().bold();

/// The lines that tell `failure`. What others wrote is made harmless first.
pub(super) fn render(failure: &Failure) -> String {
    let words = |text: &str| without_numbers(&plain::line(text));
    let mut text = format!("{ERROR}error:{ERROR:#} {}\n", words(&failure.to_string()));
    for cause in failure.chain() {
        labelled(&mut text, "because", &words(&cause));
    }
    let tail = plain::text(failure.console_tail());
    if !tail.trim().is_empty() {
        labelled(&mut text, "the guest's console ends with", "");
        for line in tail.trim_matches('\n').lines() {
            add(&mut text, format_args!("      {line}\n"));
        }
    }
    let hint = plain::line(&failure.hint());
    if !hint.is_empty() {
        labelled(&mut text, "try", &hint);
    }
    text
}

/// Without ` (os error 13)` behind what the system said, which says it once more.
pub(super) fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut pieces = text.split(MARK);
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain.push_str(rest);
            }
            _ => {
                plain.push_str(MARK);
                plain.push_str(piece);
            }
        }
    }
    plain
}

fn labelled(text: &mut String, label: &str, what: &str) {
    let space = if what.is_empty() { "" } else { " " };
    add(text, format_args!("  {LABEL}{label}:{LABEL:#}{space}{what}\n"));
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _never_fails = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use banger_proto::{Code, Refusal};

    use super::*;

    fn shown(failure: &Failure) -> String {
        anstream::adapter::strip_str(&render(failure)).to_string()
    }

    #[test]
    fn a_refusal_with_everything() {
        let refusal = Refusal {
            stage: "boot_guest".into(),
            chain: vec!["the guest did not answer ssh within 120 s".into(), "timed out".into()],
            console_tail: "[  OK  ] Reached target\n\x1b[31mKernel panic\x1b[0m\n\n".into(),
            ..Refusal::new(Code::DeadlineExceeded, "cannot start web").hint("banger logs web")
        };
        insta::assert_snapshot!(shown(&Failure::Refused(refusal)));
    }

    #[test]
    fn a_bare_refusal_is_one_line() {
        let refusal = Refusal::new(Code::NotFound, "there is no VM web\x1b[2J");
        assert_eq!(shown(&Failure::Refused(refusal)), "error: there is no VM web\n");
    }

    #[test]
    fn numbers_of_errors_are_left_out() {
        let plain = without_numbers;
        assert_eq!(plain("cannot: Denied (os error 13) there"), "cannot: Denied there");
        assert_eq!(plain("(os error 13)"), "(os error 13)");
        assert_eq!(plain("a (os error x) (os error 5)"), "a (os error x)");
        assert_eq!(plain("cut (os error 1"), "cut (os error 1");
    }

    #[test]
    fn root_is_told_what_to_do() {
        insta::assert_snapshot!(shown(&Failure::Daemon(crate::bangerd::DaemonError::Root)));
    }
}
