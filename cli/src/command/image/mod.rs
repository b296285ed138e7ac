//! `banger image ...`.

mod build;
mod import;
mod inspect;
mod ls;
mod rm;
mod view;

use clap::Subcommand;

#[cfg(test)]
pub(crate) use view::Json;

use crate::failure::Outcome;
use crate::terminal::Terminal;

/// A command about images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Make an image from a distribution's packages
    Build(build::Arguments),
    /// Make an image from a tar of a root filesystem
    Import(import::Arguments),
    /// List images
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show all there is to know about an image
    Inspect(inspect::Arguments),
    /// Remove images that no VM uses
    #[command(visible_alias = "remove")]
    Rm(rm::Arguments),
}

impl ImageCommand {
    pub(crate) const fn when_interrupted(&self) -> &'static str {
        match self {
            Self::Build(_) | Self::Import(_) => "no image was made, and nothing is left of it",
            _ => "",
        }
    }

    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Build(build) => build.run(terminal).await,
            Self::Import(import) => import.run(terminal).await,
            Self::Ls(ls) => ls.run(terminal).await,
            Self::Inspect(inspect) => inspect.run(terminal).await,
            Self::Rm(rm) => rm.run(terminal).await,
        }
    }
}
