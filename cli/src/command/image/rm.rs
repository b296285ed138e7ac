//! `banger image rm`.

use banger_proto::ImageName;

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, during};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Names of images
    #[arg(required = true, value_name = "NAME")]
    names: Vec<ImageName>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut client = bangerd::connect(terminal).await?;
        for name in &self.names {
            let what = format!("removing the image {name}");
            during(terminal, &what, client.remove_image(name)).await?;
        }
        Ok(0)
    }
}
