//! Published ports of a guest on the bridge: bound here, and led to the guest by a process of
//! their own, which lives as long as the VMM and not as long as the daemon.
//!
//! ```text
//! Bound::bind(&publish) ─> the ports are ours ─> Bound::lead(address, &vmm, ...) ─> forwarder
//! ```

mod tcp;
mod udp;
mod worker;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{PortForward, Protocol};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::NetworkError;
use super::ports::Kept;
use crate::spawn::{Attempt, Launch, LaunchError, Process, ProcessId, handed};
use crate::vmm::Files;

pub(crate) use worker::run;

/// The argument that makes this program a forwarder.
pub(crate) const ARGUMENT: &str = "forward-ports";
/// How long a forwarder may take until it leads.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a forwarder is told, with the VMM's pidfd and a socket for each port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    /// The guest's address.
    to: Ipv4Addr,
    /// Where each socket leads, in their order.
    ports: Vec<Lead>,
}

/// Where a socket leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lead {
    udp: bool,
    /// The guest's port.
    guest: u16,
}

/// What a forwarder says once it leads: its walls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Those that hold.
    pub walls: Vec<String>,
    /// Those that this kernel does not give.
    pub missing: Vec<String>,
}

/// Ports that are not led to their guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// It could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The VMM that it is for has ended.
    #[error("the VMM ended before its ports could be published")]
    Ended,
    /// It did not say that it leads.
    #[error("the program that publishes ports does not work: {0}")]
    Silent(String),
    /// A socket or file could not be made.
    #[error("the program that publishes ports cannot be started")]
    Io(#[from] io::Error),
}

/// Ports of this host that are a guest's, and lead nowhere yet.
#[derive(Debug, Default)]
pub(crate) struct Bound(Vec<(PortForward, Kept)>);

impl Bound {
    /// Binds them, or a free one where none is named.
    ///
    /// # Errors
    /// [`NetworkError::Published`] for one that cannot be had; none is bound then.
    pub(crate) fn bind(publish: &[PortForward]) -> Result<Self, NetworkError> {
        let bind = |forward: &PortForward| {
            let kept = Kept::bind(forward).map_err(|_| NetworkError::Published(*forward))?;
            let host = kept.port().map_err(NetworkError::NoPort)?;
            Ok((PortForward { host: Some(host), ..*forward }, kept))
        };
        publish.iter().map(bind).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is nothing to lead.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its port of the host.
    #[must_use]
    pub(crate) fn ports(&self) -> Vec<PortForward> {
        self.0.iter().map(|(port, _)| *port).collect()
    }

    /// Leads them to the guest at this address for as long as the VMM lives.
    ///
    /// # Errors
    /// [`ForwardError`]; nothing is left running then.
    pub(crate) async fn lead(
        self,
        to: Ipv4Addr,
        vmm: &ProcessId,
        files: &Files,
    ) -> Result<(ProcessId, Report), ForwardError> {
        let vmm = Process::find(vmm)?.ok_or(ForwardError::Ended)?;
        let mut descriptors = vec![vmm.descriptor()?];
        let mut order = Order { to, ports: Vec::new() };
        for (port, kept) in self.0 {
            let udp = port.protocol == Protocol::Udp;
            order.ports.push(Lead { udp, guest: port.guest });
            descriptors.push(kept.into());
        }
        let (theirs, ours) = UnixStream::pair()?;
        let log = File::create(files.network_log())?;
        let launch = Launch::this_program("bangerd")
            // Whoever looks for what runs for a VM finds it by that.
            .arguments([OsStr::new(ARGUMENT), files.directory().as_os_str()])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(log);
        let mut attempt = Attempt { started: launch.start()?, succeeded: false };
        handed::send(&ours, &order, &descriptors)?;
        drop((ours, descriptors));
        let mut said = String::new();
        if let Some(stdout) = attempt.started.child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let told = tokio::time::timeout(PATIENCE, stdout.read_line(&mut said)).await;
            told.map_err(|_| ForwardError::Silent("it says nothing".to_owned()))??;
        }
        let Ok(report) = serde_json::from_str(&said) else {
            let log = std::fs::read_to_string(files.network_log()).unwrap_or_default();
            let last = log.lines().rev().find(|line| !line.trim().is_empty());
            return Err(ForwardError::Silent(last.unwrap_or("it gave no reason").to_owned()));
        };
        attempt.succeeded = true;
        Ok((attempt.started.process.id().clone(), report))
    }
}
