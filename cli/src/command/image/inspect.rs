//! `banger image inspect`.

use banger_proto::ImageName;

use super::view::{Json, details};
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image
    name: ImageName,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let image = bangerd::connect(terminal).await?.image(&self.name).await?;
        if self.json {
            terminal.json(&Json::from(&image))?;
        } else {
            terminal.result(&details(&image))?;
        }
        Ok(0)
    }
}
