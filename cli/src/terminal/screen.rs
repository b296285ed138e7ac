//! What the terminal behind a stream can show: its width, its characters, whether a line can
//! be drawn anew.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a terminal that does not tell.
const COLUMNS: usize = 80;
/// Fewer columns than these are not believed.
const FEWEST: usize = 8;

/// Columns of the terminal behind `stream`, now; `None` when there is none.
pub(crate) fn columns(stream: &(impl AsFd + IsTerminal)) -> Option<usize> {
    stream.is_terminal().then(|| {
        let told = rustix::termios::tcgetwinsize(stream).map_or(0, |size| size.ws_col.into());
        let told = if told == 0 { variable_columns() } else { told };
        if told == 0 { COLUMNS } else { told.max(FEWEST) }
    })
}

fn variable_columns() -> usize {
    env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or_default()
}

/// Whether a line on standard error can be drawn again and again.
pub(super) fn can_redraw() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|t| !t.is_empty() && t != "dumb")
}

/// Whether more than ASCII is understood.
pub(super) fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    // The first that is set decides, as in every program that asks the C library.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The words of `text` in lines of at most `columns`, longer words alone in theirs.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `text` in at most `columns`: what does not fit is cut off, and `ellipsis` says so.
pub(super) fn fit(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut taken = 0;
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            taken += c.width().unwrap_or_default();
            taken <= room
        })
        .collect();
    cut.truncate(cut.trim_end().len());
    if width(ellipsis) <= columns {
        cut.push_str(ellipsis);
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_ends_with_an_ellipsis() {
        assert_eq!(fit("debian", 6, "…"), "debian");
        assert_eq!(fit("debian", 5, "…"), "debi…");
        assert_eq!(fit("a b c", 3, "…"), "a…");
        assert_eq!(fit("debian", 5, "..."), "de...");
        assert_eq!(fit("debian", 1, "…"), "…");
        assert_eq!(fit("debian", 0, "…"), "");
        // Two columns each: four fit into five, beside the ellipsis.
        assert_eq!(fit("日本語だ", 5, "…"), "日本…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 2, "…"), "e\u{301}…");
    }

    #[test]
    fn words_are_wrapped_whole() {
        assert_eq!(wrapped("Stop and start VMs", 9), ["Stop and", "start VMs"]);
        assert_eq!(wrapped("a incomprehensible b", 5), ["a", "incomprehensible", "b"]);
        assert!(wrapped("  ", 5).is_empty());
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_characters() {
        let locale = |variables: &'static [(&str, &str)]| {
            is_unicode(|name| {
                variables.iter().find(|row| row.0 == name).map(|row| row.1.to_owned())
            })
        };
        assert!(locale(&[("LANG", "C.UTF-8")]));
        assert!(locale(&[("LC_ALL", ""), ("LC_CTYPE", "de_DE.utf8"), ("LANG", "C")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]));
        assert!(!locale(&[]));
    }

    proptest! {
        #[test]
        fn whatever_is_cut_fits(text in "\\PC{0,40}", columns in 0_usize..30) {
            prop_assert!(width(&fit(&text, columns, "…")) <= columns);
        }
    }
}
