//! `banger completions`.

use crate::complete::{Shell, script};
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "Once, in the shell's own start-up file:
  bash  source <(banger completions bash)                    # ~/.bashrc
  zsh   source <(banger completions zsh)                     # ~/.zshrc, after compinit
  fish  banger completions fish | source                     # ~/.config/fish/config.fish
make install puts the scripts where shells look by themselves.")]
pub(crate) struct Arguments {
    /// The shell: bash, zsh or fish
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(self, terminal: Terminal) -> Outcome {
        terminal.result(&script(self.shell).map_err(Failure::Output)?)?;
        Ok(0)
    }
}
