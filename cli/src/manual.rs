//! The manual pages: one a command, made from what can be typed.

use std::fmt::Write;
use std::io;

use clap::Command;
use clap_mangen::Man;

use crate::exit_codes;

/// A page of the manual.
#[derive(Debug)]
pub(crate) struct Page {
    /// Name of its file: `banger-run.1`.
    pub(crate) file: String,
    /// Its text, for `man`.
    pub(crate) text: Vec<u8>,
}

/// Day of the last change to what is not made from the commands: pages are the same
/// whenever they are made.
const DATE: &str = "2026-11-21";

/// Files that a user may want to find.
const FILES: &[(&str, &str)] = &[
    (
        "$XDG_CONFIG_HOME/banger/config.toml",
        "the user's settings; `banger config show` says what counts",
    ),
    ("/etc/banger/*.toml", "everybody's settings"),
    (
        "$XDG_STATE_HOME/banger",
        "records, keys, overlays, work disks, consoles, bangerd.log; else ~/.local/state/banger",
    ),
    ("$XDG_DATA_HOME/banger", "images; else ~/.local/share/banger"),
    ("$XDG_CACHE_HOME/banger", "what can be made again; else ~/.cache/banger"),
    (
        "$XDG_RUNTIME_DIR/banger/bangerd.sock",
        "the daemon's socket; else run/bangerd.sock in the state folder",
    ),
];

/// Variables that change what is done or shown.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME, XDG_*", "where the files are"),
    ("NO_COLOR", "not empty: no colours"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours also into a pipe"),
    ("TERM", "dumb: no line is drawn anew"),
    ("LC_ALL, LC_CTYPE, LANG", "whether more than ASCII may be shown"),
    ("COLUMNS", "the width of a terminal that does not tell"),
];

/// All pages.
///
/// # Errors
/// When the library cannot write one.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    let mut root = crate::arguments::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, "banger", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, name)?);
    // What stands below `vm` stands at the top too.
    for child in shown(command).filter(|_| name != "banger-vm") {
        add(child, &format!("{name}-{}", child.get_name()), pages)?;
    }
    Ok(())
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help")
}

fn page(command: &Command, name: &str) -> io::Result<Page> {
    let is_root = name == "banger";
    let man = Man::new(command.clone().display_name(name))
        .title(name.to_uppercase())
        .section("1")
        .date(DATE)
        .source(concat!("banger ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut rest = String::new();
    let mut children: Vec<_> = shown(command)
        .map(|child| {
            let page = if name == "banger-vm" { "banger" } else { name };
            (format!("{page}-{}(1)", child.get_name()), about(child))
        })
        .collect();
    children.sort();
    section(&mut rest, "COMMANDS", &children);
    if let (Some(notes), false) = (command.get_after_help(), is_root) {
        add_line(&mut rest, ".SH NOTES\n.nf");
        for line in notes.to_string().lines() {
            add_line(&mut rest, &escape(line));
        }
        add_line(&mut rest, ".fi");
    }
    section(&mut rest, "EXIT STATUS", exit_codes::TABLE);
    if is_root {
        section(&mut rest, "FILES", FILES);
        section(&mut rest, "ENVIRONMENT", ENVIRONMENT);
    } else {
        add_line(&mut rest, ".SH SEE ALSO");
        add_line(&mut rest, "\\fBbanger\\fR(1), for files and environment too");
    }
    text.extend_from_slice(rest.as_bytes());
    Ok(Page { file: format!("{name}.1"), text })
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// A section of terms and what they mean; none when there are no terms.
fn section<A: AsRef<str>, B: AsRef<str>>(text: &mut String, title: &str, terms: &[(A, B)]) {
    if terms.is_empty() {
        return;
    }
    add_line(text, &format!(".SH \"{title}\""));
    for (term, meaning) in terms {
        add_line(
            text,
            &format!(".TP\n\\fB{}\\fR\n{}", escape(term.as_ref()), escape(meaning.as_ref())),
        );
    }
}

fn add_line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _never_fails = writeln!(text, "{line}");
}

/// Text that means nothing to roff: no escapes, and no request at the begin of a line.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use super::*;

    #[test]
    fn every_command_has_a_page_with_something_to_say() {
        fn count(command: &Command) -> usize {
            shown(command)
                .map(|child| 1 + if child.get_name() == "vm" { 0 } else { count(child) })
                .sum()
        }
        let pages = pages().unwrap();
        assert_eq!(pages.len(), 1 + count(&crate::arguments::command()));
        for page in &pages {
            let text = String::from_utf8(page.text.clone()).unwrap();
            let after = |title: &str| {
                let begin =
                    text.find(title).unwrap_or_else(|| panic!("{} lacks {title}", page.file));
                text[begin + title.len()..]
                    .trim_start()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            assert!(after(".SH NAME").contains(" \\- "), "{}: {:?}", page.file, after(".SH NAME"));
            assert!(!after(".SH DESCRIPTION").starts_with(".SH"), "{}", page.file);
            assert!(after(".SH \"EXIT STATUS\"").starts_with(".TP"), "{}", page.file);
        }
        let root = String::from_utf8(pages[0].text.clone()).unwrap();
        assert!(root.contains(".SH \"FILES\"") && root.contains(".SH \"ENVIRONMENT\""));
    }

    /// Two readers of other makings find nothing wrong, and say what was written.
    #[test]
    fn the_pages_are_sound() {
        let folder = tempfile::tempdir().unwrap();
        let pages = pages().unwrap();
        let paths: Vec<_> = pages.iter().map(|page| folder.path().join(&page.file)).collect();
        for (page, path) in pages.iter().zip(&paths) {
            std::fs::write(path, &page.text).unwrap();
        }
        for reader in
            [&["mandoc", "-T", "lint", "-W", "warning"][..], &["groff", "-man", "-ww", "-z"]]
        {
            let output = Program::new(reader[0]).args(&reader[1..]).args(&paths).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert_eq!(String::from_utf8_lossy(&said), "", "{reader:?}");
        }
        let output = Program::new("mandoc").args(["-T", "utf8"]).arg(&paths[0]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("what can be made again"), "{text}");
    }
}
