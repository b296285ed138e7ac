//! `banger man`, for packages: writes the manual pages.

use std::path::PathBuf;

use crate::failure::{Failure, Outcome};
use crate::manual;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder that gets a page for each command; it must be there
    folder: PathBuf,
}

impl Arguments {
    pub(crate) fn run(self) -> Outcome {
        for page in manual::pages().map_err(Failure::Output)? {
            let path = self.folder.join(page.file);
            std::fs::write(path, page.text).map_err(Failure::Output)?;
        }
        Ok(0)
    }
}
