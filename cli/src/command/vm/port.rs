//! `banger vm port`.

use std::net::Ipv4Addr;
use std::str::FromStr;

use banger_proto::{Code, Invalid, PortForward, Protocol, Refusal, Running, Vm, VmRef};
use serde::Serialize;

use crate::bangerd;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
    /// Only where this port of the guest is to be found, as in 80 or 53/udp
    #[arg(value_name = "GUEST_PORT")]
    port: Option<GuestPort>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// A port of the guest, `80` or `53/udp`.
#[derive(Debug, Clone, Copy)]
struct GuestPort {
    number: u16,
    protocol: Protocol,
}

impl FromStr for GuestPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("port", text, "use 1 to 65535, with /udp for datagrams");
        match text.parse() {
            Ok(PortForward { host: None, guest: number, protocol, .. }) if !text.contains(':') => {
                Ok(Self { number, protocol })
            }
            _ => Err(invalid()),
        }
    }
}

/// A published port as JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Port"))]
pub(crate) struct Json {
    /// Address of this computer.
    address: String,
    /// `null` while it is not known which is free.
    host_port: Option<u16>,
    guest_port: u16,
    protocol: &'static str,
}

impl From<&PortForward> for Json {
    fn from(port: &PortForward) -> Self {
        Self {
            address: port.address.to_string(),
            host_port: port.host,
            guest_port: port.guest,
            protocol: port.protocol.as_str(),
        }
    }
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let vm = bangerd::connect(terminal).await?.vm(&self.vm).await?;
        let (_, running) = running(&vm)?;
        let wanted = |port: &&PortForward| {
            self.port.is_none_or(|wanted| {
                (wanted.number, wanted.protocol) == (port.guest, port.protocol)
            })
        };
        let ports: Vec<_> = running.ports.iter().filter(wanted).collect();
        if let (Some(wanted), true) = (self.port, ports.is_empty()) {
            let (number, protocol) = (wanted.number, wanted.protocol.as_str());
            return Err(Refusal::new(
                Code::NotFound,
                format!("{} does not publish its port {number}/{protocol}", vm.name),
            )
            .hint(format!(
                "ports are published from the beginning: banger create --publish 8080:{number}"
            ))
            .into());
        }
        if self.json {
            terminal.json(&ports.into_iter().map(Json::from).collect::<Vec<_>>())?;
        } else if ports.is_empty() {
            terminal.note(&format!("{} publishes no port", vm.name));
        } else {
            let line = |port: &PortForward| match self.port {
                Some(_) => format!("{}\n", port.bound()),
                None => format!("{}\n", port.arrow()),
            };
            terminal.result(&ports.into_iter().map(line).collect::<String>())?;
        }
        Ok(0)
    }
}

/// What runs of a VM, and its address, where it has both.
pub(super) fn running(vm: &Vm) -> Result<(Ipv4Addr, &Running), Failure> {
    let name = &vm.name;
    let refusal = |message: String| Refusal::new(Code::FailedPrecondition, message);
    let running = vm.running.as_ref().ok_or_else(|| {
        refusal(format!("{name} is {}", vm.state))
            .hint(format!("start it first: banger start {name}"))
    })?;
    let address = running.address.ok_or_else(|| {
        refusal(format!("{name} has no network"))
            .hint(format!("use its console: banger console {name}"))
    })?;
    Ok((address, running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_guest_is_a_number_and_a_protocol() {
        for (text, number, protocol) in [
            ("80", 80, Protocol::Tcp),
            ("80/tcp", 80, Protocol::Tcp),
            ("53/udp", 53, Protocol::Udp),
        ] {
            let port: GuestPort = text.parse().unwrap();
            assert_eq!((port.number, port.protocol), (number, protocol), "{text}");
        }
        for text in ["", ":80", "8080:80", "127.0.0.1::80", "0", "http"] {
            assert!(text.parse::<GuestPort>().is_err(), "{text}");
        }
    }
}
