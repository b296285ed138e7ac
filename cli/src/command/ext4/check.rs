//! `banger ext4 check`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use banger_proto::Ext4Line;
use serde::Serialize;

use super::worker::{Use, ask, image};
use crate::exit_codes::FAILED;
use crate::failure::Outcome;
use crate::terminal::{Terminal, plain_line};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at everything that names lead to, and at every count and checksum; changes nothing. Exit
codes: 0 when all is in order, 1 when something is wrong. To mend it, let e2fsck -f work on a copy.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What scripts get; fields are added and never change their meaning.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ext4Check"))]
pub(crate) struct Json {
    /// Nothing is wrong.
    clean: bool,
    /// What is wrong, the first hundred of it, in words for people.
    problems: Vec<String>,
    /// How much is wrong in all.
    problem_count: u64,
    /// Inodes that names lead to.
    inodes: u64,
    /// Blocks in use.
    blocks: u64,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let file = image(&self.image, Use::Read)?;
        let told = ask(terminal, file, &[OsStr::new("check")], Stdio::null()).await?;
        let Some(Ext4Line::Checked { problems, count, inodes, blocks }) = told else {
            return Ok(FAILED);
        };
        let clean = count == 0;
        if self.json {
            terminal.json(&Json { clean, problems, problem_count: count, inodes, blocks })?;
        } else if clean && !terminal.is_quiet() {
            terminal.result(&format!("in order: {inodes} inodes, {blocks} blocks in use"))?;
        } else if !clean {
            let mut text = String::new();
            for problem in &problems {
                text.push_str(&plain_line(problem));
                text.push('\n');
            }
            if let Some(more @ 1..) = count.checked_sub(problems.len() as u64) {
                text.push_str(&format!("and {more} more\n"));
            }
            terminal.result(&text)?;
        }
        Ok(if clean { 0 } else { FAILED })
    }
}
