//! `config show`: what counts, and who says so.

use std::path::PathBuf;

use banger_proto::{Refusal, Setting};

use super::blocking;
use crate::config;
use crate::context::Context;

/// All settings, and the files that are looked for.
///
/// # Errors
/// When a file cannot be used, with all that is wrong.
pub async fn show_config(context: &Context) -> Result<(Vec<Setting>, Vec<PathBuf>), Refusal> {
    let settings = context.settings().await?;
    let paths = context.paths.clone();
    blocking(move || Ok((config::show(&settings), config::files(&paths)))).await
}
