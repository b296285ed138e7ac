//! What can be typed; each command's own arguments stand in its file.

use clap::Parser;

use crate::command::Command;

/// Disposable Linux microVMs on your own machine.
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong usage. run, exec and ssh pass on the exit code of what ran
in the guest (128 + n when signal n killed it); 125 says that banger itself failed.

The everyday commands are short for `banger vm ...`: `banger run` is `banger vm run`."
)]
pub(crate) struct Arguments {
    /// Only results and errors.
    #[arg(short, long, global = true, display_order = 100)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use clap::CommandFactory;

    use super::*;
    use crate::command::VmCommand;

    fn reference(command: &mut clap::Command, path: &str, text: &mut String) {
        let help = command.render_long_help();
        writeln!(text, "\n==== {path}\n{help}").unwrap();
        for child in command.get_subcommands_mut().filter(|child| child.get_name() != "vm") {
            let path = format!("{path} {}", child.get_name());
            reference(child, &path, text);
        }
    }

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command() {
        let mut command = Arguments::command().term_width(100);
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
