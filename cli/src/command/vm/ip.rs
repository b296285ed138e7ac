//! `banger vm ip`.

use banger_proto::VmRef;
use serde::Serialize;

use super::port::{Json, running};
use crate::bangerd;
use crate::failure::Outcome;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With the network bridge this computer reaches the guest at this address. With the network user \
                  the guest has it in a network of its own: this computer reaches it by the ports that are \
                  published, and by `banger ssh`."
)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// Where a guest is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Address"))]
pub(crate) struct JsonAddress {
    /// The guest's own.
    address: String,
    /// How this computer reaches it.
    ports: Vec<Json>,
    ssh_host: Option<String>,
    ssh_port: Option<u16>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let vm = bangerd::connect(terminal).await?.vm(&self.vm).await?;
        let (address, running) = running(&vm)?;
        if self.json {
            terminal.json(&JsonAddress {
                address: address.to_string(),
                ports: running.ports.iter().map(Json::from).collect(),
                ssh_host: running.ssh.map(|ssh| ssh.ip().to_string()),
                ssh_port: running.ssh.map(|ssh| ssh.port()),
            })?;
        } else {
            terminal.result(&address.to_string())?;
            for port in &running.ports {
                terminal.note(&format!("reached from here by {}", port.arrow()));
            }
            // With a bridge it is the guest's own that leads there.
            let direct = running.ssh.is_some_and(|ssh| *ssh.ip() == address);
            if running.ports.is_empty() && !direct {
                terminal.note(&format!(
                    "reached from here by banger ssh {} alone: no port is published",
                    vm.name
                ));
            }
        }
        Ok(0)
    }
}
