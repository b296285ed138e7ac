//! `banger image build`.

use banger_proto::{ImageName, ImageSource, Mib};

use crate::bangerd;
use crate::command::TimingsFlag;
use crate::failure::Outcome;
use crate::terminal::{Terminal, Timings, follow};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image
    name: ImageName,
    /// Debian's suite, as in bookworm
    #[arg(long, value_name = "SUITE")]
    debian: String,
    /// Where packages come from [default: Debian's own]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Size of the root filesystem, as in 4G
    #[arg(long)]
    size: Option<Mib>,
    #[command(flatten)]
    timings: TimingsFlag,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut timings = Timings::begin();
        let mut client = bangerd::connect(terminal).await?;
        let source = ImageSource::Debian { suite: self.debian, mirror: self.mirror };
        let events = client.build_image(&self.name, self.size, source).await?;
        let image = follow(terminal, &mut timings, events).await?;
        self.timings.show(terminal, &timings);
        terminal.result(image.name.as_str())?;
        Ok(0)
    }
}
