//! `banger version`.

use serde::Serialize;

use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::{Terminal, fields};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// The versions as JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Json {
    /// Version of the command line.
    banger: &'static str,
    /// `null` while it does not run.
    bangerd: Option<JsonDaemon>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Daemon"))]
struct JsonDaemon {
    version: String,
    pid: u32,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        // root may ask too, and has no daemon.
        let daemon = match bangerd::running().await {
            Ok(Some(mut client)) => Some(client.describe().await?),
            Ok(None) | Err(bangerd::DaemonError::Root) => None,
            Err(error) => return Err(error.into()),
        };
        let banger = env!("CARGO_PKG_VERSION");
        if self.json {
            let bangerd =
                daemon.map(|daemon| JsonDaemon { version: daemon.version, pid: daemon.pid });
            terminal.json(&Json { banger, bangerd })?;
        } else {
            let bangerd = daemon.map_or_else(
                || "not running".to_owned(),
                |daemon| format!("{} (process {})", daemon.version, daemon.pid),
            );
            terminal.result(&fields(&[("banger", banger.to_owned()), ("bangerd", bangerd)]))?;
        }
        Ok(0)
    }
}
