//! The checks of the doctor, in 80 columns.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use banger_proto::{Check, CheckState};

use super::plain;
use super::screen::wrapped;

const WIDTH: usize = 80;
/// Where what was found begins: after the state and the name.
const INDENT: usize = 24;
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

fn state(state: CheckState) -> (&'static str, Style) {
    match state {
        CheckState::Ok => ("ok", AnsiColor::Green.on_default()),
        CheckState::Skipped => ("skipped", Style::new().dimmed()),
        CheckState::Warning => ("warning", AnsiColor::Yellow.on_default().bold()),
        CheckState::Failed => ("failed", AnsiColor::Red.on_default().bold()),
    }
}

/// All checks by group, and how they came out; `brief` leaves out what is ok, and paths in
/// `home` begin with `~`.
pub(super) fn render(checks: &[Check], brief: bool, home: &str) -> String {
    let mut text = String::new();
    let mut group = "";
    for check in checks {
        if brief && check.state <= CheckState::Skipped {
            continue;
        }
        if check.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = &check.group;
            add(&mut text, format_args!("{gap}{BOLD}{}{BOLD:#}\n", plain::line(group)));
        }
        one(&mut text, check, home);
    }
    if !brief {
        text.push('\n');
        text.push_str(&summary(checks));
    }
    text
}

fn one(text: &mut String, check: &Check, home: &str) {
    let (word, style) = state(check.state);
    let name = plain::line(&check.name);
    let mut head = format!("  {style}{word:<7}{style:#}  {name:<11}  ");
    // As people write it; a home that is / would be everywhere.
    let found = match home.len() {
        0 | 1 => check.found.clone(),
        _ => check.found.replace(&format!("{home}/"), "~/"),
    };
    let mut lines = wrapped(&plain::line(&found), WIDTH - INDENT);
    if lines.is_empty() {
        lines.push(String::new());
    }
    for line in lines {
        add(text, format_args!("{head}{line}\n"));
        head = " ".repeat(INDENT);
    }
    for line in wrapped(&plain::line(&check.why), WIDTH - INDENT) {
        add(text, format_args!("{:INDENT$}{DIM}{line}{DIM:#}\n", ""));
    }
    // A command is never broken: it is to be copied.
    for (number, step) in check.remedy.iter().enumerate() {
        let label = if number == 0 { "try:" } else { "" };
        let step = plain::line(step);
        add(text, format_args!("         {BOLD}{label:<4}{BOLD:#} {step}\n"));
    }
}

fn summary(checks: &[Check]) -> String {
    let names = |state: CheckState| -> Vec<String> {
        let named = checks.iter().filter(|check| check.state == state);
        let mut names: Vec<_> = named.map(|check| plain::line(&check.name)).collect();
        names.dedup();
        names
    };
    let mut text = String::new();
    for found in [CheckState::Failed, CheckState::Warning] {
        let names = names(found);
        if !names.is_empty() {
            let (word, style) = state(found);
            add(&mut text, format_args!("{style}{word}{style:#}: {}\n", names.join(", ")));
        }
    }
    text.push_str(if !names(CheckState::Failed).is_empty() {
        "VMs do not run here as things are.\n"
    } else if checks
        .iter()
        .any(|check| check.group == "proof" && check.state != CheckState::Skipped)
    {
        "VMs run here: one just did.\n"
    } else {
        "Nothing speaks against it that VMs run here.\n"
    });
    text
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _never_fails = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let long = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3) \
                    (/home/ann/bin/qemu-system-x86_64)";
        vec![
            Check::new(("banger", "user"), "VMs are a user's", CheckState::Ok, "an ordinary one"),
            Check::new(("virtualization", "KVM"), "it is slow without", CheckState::Warning, "no")
                .remedy(["sudo modprobe kvm_intel", "# then once more"]),
            Check::new(("virtualization", "QEMU"), "it runs the guests", CheckState::Ok, long),
            Check::new(("storage", "VMs"), "disks\x1b[2J are there", CheckState::Failed, "full")
                .remedy(["banger gc"]),
            Check::new(("proof", "a guest"), "it runs", CheckState::Skipped, "not tried"),
        ]
    }

    fn shown(checks: &[Check], brief: bool) -> String {
        anstream::adapter::strip_str(&render(checks, brief, "/home/ann")).to_string()
    }

    #[test]
    fn all_of_them_and_only_what_is_wrong() {
        insta::assert_snapshot!(shown(&checks(), false));
        insta::assert_snapshot!(shown(&checks(), true));
    }

    #[test]
    fn nothing_but_a_copyable_step_is_wider_than_a_terminal() {
        let text = shown(&checks(), false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn the_end_says_what_it_comes_to() {
        let one = |state| {
            let proof = Check::new(("proof", "a guest"), "w", state, "f");
            shown(&[proof], false).lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(one(CheckState::Ok), "VMs run here: one just did.");
        assert_eq!(one(CheckState::Warning), "VMs run here: one just did.");
        assert_eq!(one(CheckState::Failed), "VMs do not run here as things are.");
        assert_eq!(one(CheckState::Skipped), "Nothing speaks against it that VMs run here.");
    }
}
