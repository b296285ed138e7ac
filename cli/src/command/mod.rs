//! The commands, one file each.

mod completions;
mod config;
mod daemon;
mod doctor;
mod ext4;
mod gc;
mod helper;
mod image;
mod man;
#[cfg(test)]
mod schema;
mod version;
mod vm;

use clap::Subcommand;

pub(crate) use config::ConfigCommand;
pub(crate) use daemon::DaemonCommand;
pub(crate) use ext4::Ext4Command;
pub(crate) use helper::HelperCommand;
pub(crate) use image::ImageCommand;
pub(crate) use vm::{NoVariable, VmCommand};

use crate::exit_codes::{BANGER_FAILED, FAILED};
use crate::failure::Outcome;
use crate::terminal::Terminal;

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Short(VmCommand),
    /// Virtual machines
    #[command(subcommand)]
    Vm(VmCommand),
    /// Images that VMs are made from
    #[command(subcommand)]
    Image(ImageCommand),
    /// Filesystem images: look into them and change them, without a mount
    #[command(subcommand)]
    Ext4(Ext4Command),
    /// What is configured
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Remove what has no owner any more
    Gc(gc::Arguments),
    /// Find out whether VMs run here, and what to do when they do not
    Doctor(doctor::Arguments),
    /// The root helper, where it is installed
    #[command(subcommand)]
    Helper(HelperCommand),
    /// The daemon behind this command
    #[command(subcommand)]
    Daemon(DaemonCommand),
    /// Versions of banger and of the daemon that runs
    Version(version::Arguments),
    /// What makes a shell complete commands and names
    Completions(completions::Arguments),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::Arguments),
}

impl Command {
    /// The exit code when banger itself fails.
    pub(crate) const fn failure_code(&self) -> u8 {
        match self {
            Self::Short(vm) | Self::Vm(vm) => vm.failure_code(),
            _ => FAILED,
        }
    }

    /// What becomes of what was asked for when a signal ends the command.
    pub(crate) const fn when_interrupted(&self) -> &'static str {
        match self {
            Self::Short(vm) | Self::Vm(vm) => vm.when_interrupted(),
            Self::Image(image) => image.when_interrupted(),
            Self::Ext4(ext4) => ext4.when_interrupted(),
            _ => "",
        }
    }

    /// Does it.
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Short(vm) | Self::Vm(vm) => vm.run(terminal).await,
            Self::Image(image) => image.run(terminal).await,
            Self::Ext4(ext4) => ext4.run(terminal).await,
            Self::Config(config) => config.run(terminal).await,
            Self::Gc(gc) => gc.run(terminal).await,
            Self::Doctor(doctor) => doctor.run(terminal).await,
            Self::Helper(helper) => helper.run(terminal).await,
            Self::Daemon(daemon) => daemon.run(terminal).await,
            Self::Version(version) => version.run(terminal).await,
            Self::Completions(completions) => completions.run(terminal),
            Self::Man(man) => man.run(),
        }
    }
}

/// `--timings`, for commands that have stages.
#[derive(Debug, clap::Args)]
pub(crate) struct TimingsFlag {
    /// Print the stages with their times at the end; --timings=json for scripts
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "table",
        hide_possible_values = true
    )]
    timings: Option<TimingsFormat>,
}

/// How the stages are told.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TimingsFormat {
    Table,
    Json,
}

impl TimingsFlag {
    /// Prints the stages when that was asked for.
    fn show(&self, terminal: Terminal, timings: &crate::terminal::Timings) {
        match self.timings {
            Some(TimingsFormat::Table) => terminal.timings(timings),
            Some(TimingsFormat::Json) => terminal.timings_json(timings),
            None => {}
        }
    }
}
