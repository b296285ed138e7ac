//! The exit codes: what each says, for help, manual pages and the README alike.

use std::fmt::Write;
use std::io;

use crate::terminal::{window, wrapped};

/// Nothing was done: the command line is none.
pub(crate) const USAGE: u8 = 2;
/// The command failed.
pub(crate) const FAILED: u8 = 1;
/// banger itself failed where the guest's codes are passed on.
pub(crate) const BANGER_FAILED: u8 = 125;

/// Codes, and what they say.
pub(crate) const TABLE: &[(&str, &str)] = &[
    ("0", "done"),
    ("1", "failed; standard error says what, because of what, and what to try"),
    ("2", "wrong usage: nothing was done"),
    ("125", "run, exec, ssh: banger itself failed, and not what ran in the guest"),
    ("128 + n", "ended by signal n: 130 after ^C"),
    (
        "others",
        "run, exec, ssh: the exit code of what ran in the guest, 128 + n if signal n killed it",
    ),
];

/// Widest text that is easy to read.
const WIDEST: usize = 100;

/// The end of `banger --help`.
pub(crate) fn help() -> String {
    let columns = window(&io::stdout()).unwrap_or(WIDEST).min(WIDEST);
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in TABLE {
        // Writing to a String cannot fail.
        for (line, words) in wrapped(meaning, columns.saturating_sub(11)).iter().enumerate() {
            let code = if line == 0 { code } else { "" };
            let _never_fails = writeln!(text, "  {code:<8} {words}");
        }
    }
    text.push_str(
        "\nThe everyday commands are short for `banger vm ...`: `banger run` is `banger vm run`.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../README.md");
        for (code, meaning) in TABLE {
            let row = format!("| {code} | {meaning} |");
            assert!(readme.contains(&row), "README.md lacks the line\n{row}");
        }
    }
}
