//! Measures the ext4 engine beside its peers and the floor: `make bench`.
//!
//! Every measured thing is a process of its own, so that a peer written in C and the engine
//! are timed alike; what a process that does nothing takes is measured beside them.

mod goals;
mod helper;
mod measure;
mod record;
mod report;
mod sample;
mod side;
mod works;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// What goes wrong ends the bench.
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
enum Command {
    /// Measures everything and writes the tables, the plot and the record
    Run {
        /// Folder of `performance.json` (the record), `performance.svg` and the tables
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
        /// Where images are made; some GiB, on the filesystem that is measured
        #[arg(long, default_value = "target/bench")]
        at: PathBuf,
        /// Only works whose name contains this; nothing is recorded then
        #[arg(long)]
        only: Option<String>,
        /// Times that each side runs
        #[arg(long, default_value_t = 15)]
        rounds: usize,
        /// Takes the new ratios for the record although some are worse
        #[arg(long)]
        accept: bool,
    },
    /// Records what tests in the testbed said of the root helper beside what a person types
    Helper {
        /// Folder of `performance.json`
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
        /// What the tests said
        #[arg(long)]
        said: PathBuf,
        /// Takes the new ratios for the record although some are worse
        #[arg(long)]
        accept: bool,
    },
    /// Does one thing that is measured, and says how much memory it took
    #[command(subcommand)]
    Side(side::Side),
}

fn main() -> Result<ExitCode> {
    match Command::parse() {
        Command::Side(side) => side.run().map(|()| ExitCode::SUCCESS),
        Command::Helper { docs, said, accept } => {
            let (text, judged) = helper::read(&std::fs::read_to_string(said)?)?;
            print!("{text}");
            told(&record::compare(&docs.join("performance.json"), &judged, accept)?)
        }
        Command::Run { docs, at, only, rounds, accept } => {
            let measured = works::measure_all(&at, only.as_deref(), rounds)?;
            let judged = goals::judge(&measured);
            let text = report::tables(&measured, &judged);
            print!("{text}");
            if only.is_some() {
                return Ok(ExitCode::SUCCESS);
            }
            std::fs::write(docs.join("performance.svg"), report::plot(&measured))?;
            let worse = record::compare(&docs.join("performance.json"), &judged, accept)?;
            std::fs::write(at.join("tables.md"), text)?;
            told(&worse)
        }
    }
}

/// Says what is worse than recorded, which is a failure.
fn told(worse: &[String]) -> Result<ExitCode> {
    for line in worse {
        eprintln!("worse than recorded: {line}");
    }
    Ok(if worse.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
