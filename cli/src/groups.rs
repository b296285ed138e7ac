//! The commands of `banger --help` in groups, so that many stay readable.

use std::fmt::Write;
use std::io;

use clap::Command;
use clap::builder::Styles;

use crate::terminal::{window, wrapped};

/// Groups, and the commands in them in the order in which they are of use. A name of two
/// words is a command below another.
const GROUPS: &[(&str, &[&str])] = &[
    ("Everyday", &["run", "ls", "ssh", "exec", "stop", "start", "rm"]),
    (
        "More of a VM's life",
        &[
            "create",
            "restart",
            "set",
            "wait",
            "inspect",
            "logs",
            "console",
            "ip",
            "port",
            "cp",
            "sync",
            "ssh-config",
        ],
    ),
    ("Images", &["image build", "image import", "image ls", "image inspect", "image rm"]),
    (
        "Filesystem images",
        &["ext4 ls", "ext4 cat", "ext4 cp", "ext4 put", "ext4 stat", "ext4 check"],
    ),
    (
        "This computer",
        &["doctor", "gc", "config", "helper log", "daemon", "completions", "version", "help"],
    ),
];
/// What has no group: it says everything once more.
const UNGROUPED: &[&str] = &["vm", "image", "ext4", "helper"];

/// Widest help that is easy to read.
const WIDEST: usize = 100;

fn find<'a>(root: &'a Command, path: &str) -> Option<&'a Command> {
    path.split(' ').try_fold(root, |here, word| here.find_subcommand(word))
}

/// A command's names and what it does, under their group's heading.
fn text(root: &Command, columns: usize) -> String {
    let is_grouped = |name: &str| GROUPS.iter().any(|group| group.1.contains(&name));
    let rest: Vec<_> = root
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
        .map(Command::get_name)
        .filter(|name| !is_grouped(name) && !UNGROUPED.contains(name))
        .collect();
    let groups = GROUPS.iter().copied().chain([("More", rest.as_slice())]);
    let styles = Styles::styled();
    let (heading, literal) = (styles.get_header(), styles.get_literal());
    let mut text = String::new();
    for (title, names) in groups {
        let commands: Vec<_> =
            names.iter().filter_map(|name| Some((name, find(root, name)?))).collect();
        if commands.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _never_fails = writeln!(text, "{heading}{title}:{heading:#}");
        for (name, command) in commands {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let lines = wrapped(&about, columns.saturating_sub(17));
            let first = lines.first().map(String::as_str).unwrap_or_default();
            let _never_fails = writeln!(text, "  {literal}{name:<13}{literal:#}  {first}");
            for line in lines.iter().skip(1) {
                let _never_fails = writeln!(text, "{:17}{line}", "");
            }
        }
        text.push('\n');
    }
    text
}

/// The same command with its help in groups.
pub(crate) fn grouped(root: Command) -> Command {
    let columns = window(&io::stdout()).unwrap_or(WIDEST).min(WIDEST);
    let styles = Styles::styled();
    let heading = styles.get_header();
    let mut built = root.clone();
    built.build();
    let commands = text(&built, columns);
    root.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}{heading}Options:{heading:#}\n{{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_group() {
        let mut root = crate::arguments::command();
        root.build();
        let text = text(&root, WIDEST);
        assert!(!text.contains("More:"), "give these a group in GROUPS:\n{text}");
    }

    #[test]
    fn a_narrow_window_wraps_what_commands_do() {
        let mut root = crate::arguments::command();
        root.build();
        for line in text(&root, 40).lines() {
            let plain = anstream::adapter::strip_str(line).to_string();
            assert!(plain.chars().count() <= 40, "{plain:?}");
        }
    }
}
