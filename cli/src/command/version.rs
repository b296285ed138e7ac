//! `banger version`.

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, fields};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        // root may ask too, and has no daemon.
        let daemon = match bangerd::running().await {
            Ok(Some(mut client)) => {
                let daemon = client.describe().await?;
                format!("{} (process {})", daemon.version, daemon.pid)
            }
            Ok(None) | Err(bangerd::DaemonError::Root) => "not running".to_owned(),
            Err(error) => return Err(error.into()),
        };
        let own = env!("CARGO_PKG_VERSION").to_owned();
        terminal.result(&fields(&[("banger", own), ("bangerd", daemon)]))?;
        Ok(0)
    }
}
