//! `banger vm logs`.

use banger_proto::VmRef;
use futures_util::StreamExt;

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Plain, Terminal};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "On a terminal, control sequences are taken out: the guest wrote them. Into a file \
                  or a pipe the bytes go as they are."
)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// Go on with what comes, until the VM ends
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last so many lines
    #[arg(short = 'n', long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..))]
    tail: Option<u32>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let mut client = bangerd::connect(terminal).await?;
        let mut chunks = client.logs(&self.vm, self.follow, self.tail).await?;
        let mut plain = Plain::default();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if terminal.output_is_terminal() {
                terminal.raw(plain.next(&chunk).as_bytes())?;
            } else {
                terminal.raw(&chunk)?;
            }
        }
        Ok(0)
    }
}
