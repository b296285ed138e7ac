//! passt: a user-mode network in a process of its own, over a socket.
//!
//! It gets one end of a socket pair and the VMM gets the other, so that it ends
//! with the VMM, with a start that fails, and with a daemon that dies in between.
//! It confines itself: its own user, mount, ipc and uts namespaces, an empty root,
//! no capabilities, seccomp.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use banger_proto::{PortForward, Protocol};

use super::AddressPlan;
use crate::spawn::{Finder, Launch, LaunchError, Missing, PASST, Process, Started};
use crate::vmm::Files;

/// Descriptor under which passt finds its end of the socket.
const SOCKET: i32 = 3;
/// How long passt may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why passt does not carry a network.
#[derive(Debug, thiserror::Error)]
pub enum PasstError {
    /// Not installed.
    #[error("passt is not installed")]
    Missing(#[source] Missing),
    /// Somebody else took a port between its choice and its use.
    #[error("other programs kept taking the ports that were chosen")]
    PortTaken(Option<PortForward>),
    /// It ended at once.
    #[error("passt does not work here: {0}")]
    Ended(String),
    /// It does not get ready.
    #[error("passt was not ready in time")]
    NotReady,
    /// It could not be started.
    #[error("passt cannot be started")]
    Launch(#[from] LaunchError),
    /// A file or socket could not be made.
    #[error("passt cannot be started")]
    Io(#[from] io::Error),
}

/// What passt is told.
fn arguments(
    plan: &AddressPlan,
    forwards: &[PortForward],
    ready: &Path,
    routed: bool,
) -> Vec<String> {
    let mut line: Vec<String> = [
        "--foreground",
        "--quiet",
        "--ipv4-only",
        // The gateway's address is no door to the host's loopback.
        "--no-map-gw",
        // The guest is configured by its own files.
        "--no-dhcp",
    ]
    .map(str::to_owned)
    .into();
    let mut pair = |name: &str, value: String| line.extend([name.to_owned(), value]);
    pair("--fd", SOCKET.to_string());
    pair("--pid", ready.display().to_string());
    pair("--address", plan.address.to_string());
    pair("--netmask", plan.prefix.to_string());
    pair("--gateway", plan.gateway.to_string());
    pair("--dns-forward", plan.dns.to_string());
    // The gateway's link-layer address: without one, passt looks for that of an
    // interface, and a host without a network has none.
    pair("--mac-addr", "02:62:61:6e:67:01".to_owned());
    if !routed {
        // Without a default route it refuses to choose an interface; the addresses
        // are given, so that any will do.
        pair("--interface", "lo".to_owned());
    }
    for (protocol, option) in [(Protocol::Tcp, "--tcp-ports"), (Protocol::Udp, "--udp-ports")] {
        let mut specs = forwards.iter().filter(|forward| forward.protocol == protocol).peekable();
        if specs.peek().is_none() {
            pair(option, "none".to_owned());
        }
        specs.for_each(|forward| pair(option, spec(forward)));
    }
    line
}

/// A forward as passt writes it, in its errors too.
fn spec(forward: &PortForward) -> String {
    format!("{}/{}:{}", forward.address, forward.host.unwrap_or(0), forward.guest)
}

/// True when the kernel has a default route for IPv4, by the text of
/// `/proc/net/route`: destination and mask zero, and the route is up.
fn has_default_route(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let up =
            fields.get(3).and_then(|f| u32::from_str_radix(f, 16).ok()).is_some_and(|f| f & 1 == 1);
        up && fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

/// Starts passt and returns once it listens: the process, and the VMM's socket.
pub(super) async fn start(
    finder: &Finder,
    forwards: &[PortForward],
    files: &Files,
) -> Result<(Process, OwnedFd), PasstError> {
    let (theirs, ours) = UnixStream::pair()?;
    // passt writes its number when everything is set up. An older file would say so too early.
    let ready = files.directory().join("passt.pid");
    match fs::remove_file(&ready) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let routed = fs::read_to_string("/proc/net/route").is_ok_and(|table| has_default_route(&table));
    let log = File::create(files.network_log())?;
    let mut started = Launch::new(&PASST, finder)
        .map_err(PasstError::Missing)?
        .arguments(arguments(&AddressPlan::USER_MODE, forwards, &ready, routed))
        .stdout(log.try_clone()?)
        .stderr(log)
        .descriptor(SOCKET, theirs.into())
        .start()?;
    let outcome = wait_until_ready(&mut started, forwards, &ready, files).await;
    let _best_effort = fs::remove_file(&ready);
    match outcome {
        Ok(()) => Ok((started.process, ours.into())),
        Err(error) => {
            started.kill_group();
            Err(error)
        }
    }
}

/// Returns when passt has written its number, or has ended.
async fn wait_until_ready(
    started: &mut Started,
    forwards: &[PortForward],
    ready: &Path,
    files: &Files,
) -> Result<(), PasstError> {
    let written = async {
        while !fs::metadata(ready).is_ok_and(|m| m.len() > 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = written => Ok(()),
        _ = started.child.wait() => {
            let log = fs::read_to_string(files.network_log()).unwrap_or_default();
            if log.contains("Failed to bind") {
                let lost = forwards.iter().find(|forward| log.contains(&spec(forward)));
                return Err(PasstError::PortTaken(lost.copied()));
            }
            let last = log.lines().rev().find(|line| !line.trim().is_empty());
            Err(PasstError::Ended(last.unwrap_or("it gave no reason").trim().to_owned()))
        }
        () = tokio::time::sleep(PATIENCE) => Err(PasstError::NotReady),
    }
}
