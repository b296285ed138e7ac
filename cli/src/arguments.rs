//! What can be typed; each command's own arguments stand in its file.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::command::Command;
use crate::exit_codes;
use crate::groups;
use crate::terminal::{JsonError, Terminal};

/// Disposable Linux microVMs on your own machine.
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = false,
    after_help = exit_codes::help()
)]
pub(crate) struct Arguments {
    /// Only results and errors.
    #[arg(short, long, global = true, display_order = 100)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// All that can be typed.
pub(crate) fn command() -> clap::Command {
    // `banger help image rm` is enough; `banger image help rm` would be one more everywhere.
    let command = Arguments::command().mut_subcommands(|child| child.disable_help_subcommand(true));
    groups::grouped(command)
}

/// What was typed, and whether it asks for JSON.
///
/// # Errors
/// A mistake, or help that was asked for.
pub(crate) fn parse() -> Result<(Arguments, bool), clap::Error> {
    parse_from(std::env::args_os())
}

fn parse_from(words: impl Iterator<Item = OsString>) -> Result<(Arguments, bool), clap::Error> {
    let matches = command().try_get_matches_from(words)?;
    let json = wants_json(&matches);
    Ok((Arguments::from_arg_matches(&matches)?, json))
}

/// Whether the command that is meant was given `--json`.
fn wants_json(matches: &ArgMatches) -> bool {
    let mut here = matches;
    loop {
        if let Ok(Some(true)) = here.try_get_one::<bool>("json") {
            return true;
        }
        match here.subcommand() {
            Some((_, below)) => here = below,
            None => return false,
        }
    }
}

/// Says what is wrong with a command line, or the help that was asked for, and gives the
/// exit code.
pub(crate) fn tell(error: &clap::Error) -> u8 {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    if !help && words.any(|word| word == "--json") {
        let text = error.render().to_string();
        Terminal::new(false).with_json(true).error(&JsonError::usage(&text));
    } else {
        // Help is no mistake, and goes to standard output.
        let _nobody_reads = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(exit_codes::USAGE)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::command::VmCommand;

    fn reference(command: &mut clap::Command, path: &str, text: &mut String) {
        let help = command.render_long_help();
        writeln!(text, "\n==== {path}\n{help}").unwrap();
        let shown = |child: &&mut clap::Command| {
            !["vm", "help"].contains(&child.get_name()) && !child.is_hide_set()
        };
        for child in command.get_subcommands_mut().filter(shown) {
            let path = format!("{path} {}", child.get_name());
            reference(child, &path, text);
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command() {
        let mut command = command().term_width(100);
        command.build();
        let mut text = String::new();
        reference(&mut command, "banger", &mut text);
        insta::assert_snapshot!(text);
    }

    fn parse(line: &[&str]) -> Command {
        Arguments::try_parse_from(line).unwrap().command
    }

    #[test]
    fn what_follows_the_command_is_the_guests() {
        for line in [
            &["banger", "run", "--rm", "--", "ls", "-q", "--rm"][..],
            &["banger", "vm", "run", "--rm", "ls", "-q", "--rm"],
        ] {
            match parse(line) {
                Command::Short(VmCommand::Run(run)) | Command::Vm(VmCommand::Run(run)) => {
                    assert!(run.rm);
                    assert_eq!(run.command, ["ls", "-q", "--rm"]);
                }
                other => panic!("{other:?}"),
            }
        }
        match parse(&["banger", "exec", "web", "--", "--", "-x"]) {
            Command::Short(VmCommand::Exec(exec)) => assert_eq!(exec.command, ["--", "-x"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_is_asked_of_banger_and_not_of_the_guest() {
        let json = |line: &[&str]| parse_from(line.iter().map(OsString::from)).unwrap().1;
        assert!(json(&["banger", "ls", "--json"]));
        assert!(json(&["banger", "vm", "inspect", "web", "--json"]));
        assert!(!json(&["banger", "ls"]));
        assert!(!json(&["banger", "exec", "web", "ls", "--json"]));
        assert!(!json(&["banger", "run", "--", "--json"]));
    }

    #[test]
    fn bad_values_are_refused_before_anything_is_asked() {
        for line in [
            &["banger", "create", "--name", "../x"][..],
            &["banger", "run", "--cpus", "0"],
            &["banger", "run", "--memory", "1.5G"],
            &["banger", "exec", "web"],
            &["banger", "image", "build", "x"],
            &["banger", "start"],
        ] {
            assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
    }
}
