//! `banger doctor`: whether VMs run here, why not, and what to do.

use banger_proto::Check;
use serde::Serialize;

use super::FAILED;
use crate::doctor;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with a tiny guest that is started as VMs are. Exit codes: 0 when nothing failed (warnings
are none), 1 otherwise. With --quiet only what is not ok is told. What is told to try can be
pasted into a shell.")]
pub(crate) struct Arguments {
    /// Start no guest and no daemon
    #[arg(long)]
    quick: bool,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What scripts get; fields are added and never change their meaning.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Report"))]
pub(super) struct Json<'a> {
    /// Nothing failed.
    well: bool,
    checks: Vec<JsonCheck<'a>>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Check"))]
struct JsonCheck<'a> {
    /// What it belongs to, as in `storage`.
    group: &'a str,
    /// What was looked at, as in `KVM`.
    name: &'a str,
    /// `ok`, `skipped`, `warning` or `failed`.
    state: &'static str,
    /// The value that was found.
    found: &'a str,
    /// Why it matters.
    why: &'a str,
    /// What to do: commands, and sentences behind `#`.
    remedy: &'a [String],
}

impl<'a> From<&'a Check> for JsonCheck<'a> {
    fn from(check: &'a Check) -> Self {
        let Check { group, name, state, found, why, remedy } = check;
        Self { group, name, state: state.as_str(), found, why, remedy }
    }
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let checks = doctor::look(terminal, self.quick).await;
        let well = doctor::is_well(&checks);
        if self.json {
            terminal.json(&Json { well, checks: checks.iter().map(JsonCheck::from).collect() })?;
        } else {
            terminal.checks(&checks)?;
        }
        Ok(if well { 0 } else { FAILED })
    }
}
