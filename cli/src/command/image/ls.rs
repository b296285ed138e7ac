//! `banger image ls`.

use super::view::{Json, rows};
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "With --quiet only the names.")]
pub(crate) struct Arguments {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let images = bangerd::connect(terminal).await?.list_images().await?;
        if self.json {
            terminal.json(&images.iter().map(Json::from).collect::<Vec<_>>())?;
        } else if images.is_empty() {
            terminal
                .note("there are no images; make one: banger image build debian --debian bookworm");
        } else if terminal.is_quiet() {
            terminal.result(&images.iter().map(|i| format!("{}\n", i.name)).collect::<String>())?;
        } else {
            terminal.result(&rows(&images))?;
        }
        Ok(0)
    }
}
