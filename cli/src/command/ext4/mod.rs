//! `banger ext4 ...`: what is in a filesystem image, without a mount.

mod cat;
mod check;
mod copy;
mod image_path;
mod ls;
mod put;
mod stat;
mod view;
mod worker;

use clap::Subcommand;

#[cfg(test)]
pub(crate) use check::Json as JsonCheck;
#[cfg(test)]
pub(crate) use stat::Json as JsonStat;
#[cfg(test)]
pub(crate) use view::Json as JsonEntry;

use crate::failure::Outcome;
use crate::terminal::Terminal;

/// A command about a filesystem image.
#[derive(Debug, Subcommand)]
pub(crate) enum Ext4Command {
    /// List what is in an image
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Write files of an image to standard output
    Cat(cat::Arguments),
    /// Copy files and folders out of an image
    Cp(copy::Arguments),
    /// Put a file, a folder or standard input into an image, all of it or nothing
    Put(put::Arguments),
    /// Show all there is to know about an entry of an image
    Stat(stat::Arguments),
    /// Find out whether the filesystem in an image is in order; changes nothing
    Check(check::Arguments),
}

impl Ext4Command {
    pub(crate) const fn when_interrupted(&self) -> &'static str {
        match self {
            Self::Cp(_) => "what was copied whole is there, and nothing else",
            Self::Put(_) => "either all of it is in the image, or nothing",
            _ => "",
        }
    }

    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Ls(ls) => ls.run(terminal).await,
            Self::Cat(cat) => cat.run(terminal).await,
            Self::Cp(copy) => copy.run(terminal).await,
            Self::Put(put) => put.run(terminal).await,
            Self::Stat(stat) => stat.run(terminal).await,
            Self::Check(check) => check.run(terminal).await,
        }
    }
}
