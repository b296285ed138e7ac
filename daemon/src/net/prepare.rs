//! Which backend carries a guest's network, and the way to its sshd.

use std::io;
use std::os::fd::OwnedFd;

use banger_proto::PortForward;
use serde::{Deserialize, Serialize};

use super::passt::{self, PasstError};
use super::{Tap, ports};
use crate::causes::with_causes;
use crate::spawn::{Finder, LaunchError, Process};
use crate::vmm::Files;

/// Which network a VM is to get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// passt, or slirp where passt is not to be had.
    #[default]
    Automatic,
    /// passt or nothing: a start without it fails.
    Passt,
    /// QEMU's own user-mode network.
    Slirp,
    /// No network card. The guest cannot be reached by ssh.
    None,
    /// A tap, which is there.
    Tap(Tap),
}

/// What carries a running guest's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// passt, without a way to the host's loopback.
    Passt,
    /// QEMU's own, with a way to the host's loopback at 10.0.2.2.
    Slirp,
    /// Nothing.
    None,
    /// A tap on the root helper's bridge.
    Bridge,
}

impl Backend {
    /// `passt`, `slirp`, `none` or `bridge`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passt => "passt",
            Self::Slirp => "slirp",
            Self::None => "none",
            Self::Bridge => "bridge",
        }
    }
}

/// A network that waits for its VMM. Dropping it ends what was started for it:
/// passt ends when the other end of its socket is closed.
#[derive(Debug)]
pub struct Prepared {
    /// What carries it.
    pub backend: Backend,
    /// Port on 127.0.0.1 that leads to the guest's sshd.
    pub ssh_port: Option<u16>,
    /// The tap, for the VMM to open: by its name, or by a descriptor of [`Tap::open`].
    pub tap: Option<Tap>,
    /// What is published, each with its port of the host.
    pub ports: Vec<PortForward>,
    /// What the user should know, each in one line.
    pub notices: Vec<String>,
    /// The VMM's end of the socket to passt.
    pub(crate) socket: Option<OwnedFd>,
    /// The passt process.
    pub(crate) process: Option<Process>,
}

/// A network that could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No port on the loopback address is free.
    #[error("no free port on 127.0.0.1 for the guest's sshd")]
    NoPort(#[source] io::Error),
    /// A port that is to be published was taken by somebody.
    #[error("a port was taken")]
    Published(PortForward),
    /// passt was asked for, and it does not work.
    #[error("passt cannot carry the guest's network; choose slirp, or see the reason")]
    Passt(#[source] PasstError),
    /// The tap cannot be opened.
    #[error("the VM's tap {name} cannot be opened")]
    Tap {
        /// Its name.
        name: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A program could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// What a guest on slirp can reach, in one line.
const SLIRP_REACHES: &str = "the guest can reach services on this host's loopback address, as 10.0.2.2; \
     install passt to prevent that: sudo apt install passt";

/// How often a port that was lost to somebody else is replaced by another.
const PORT_ATTEMPTS: usize = 5;

/// Chooses a backend and the ports, and starts passt when it is the backend.
///
/// # Errors
/// [`NetworkError`]; nothing is left running then.
pub async fn prepare(
    finder: &Finder,
    choice: &Choice,
    publish: &[PortForward],
    files: &Files,
) -> Result<Prepared, NetworkError> {
    match choice {
        Choice::None => Ok(Prepared {
            backend: Backend::None,
            ssh_port: None,
            tap: None,
            ports: Vec::new(),
            notices: Vec::new(),
            socket: None,
            process: None,
        }),
        Choice::Tap(tap) => Ok(Prepared {
            backend: Backend::Bridge,
            ssh_port: None,
            tap: Some(tap.clone()),
            ports: Vec::new(),
            notices: Vec::new(),
            socket: None,
            process: None,
        }),
        Choice::Slirp => slirp(publish, format!("network by slirp: {SLIRP_REACHES}")),
        Choice::Automatic | Choice::Passt => match by_passt(finder, publish, files).await? {
            Ok(prepared) => Ok(prepared),
            Err(error) if *choice == Choice::Passt => Err(NetworkError::Passt(error)),
            Err(error) => {
                let because = with_causes(&error);
                slirp(publish, format!("network by slirp ({because}): {SLIRP_REACHES}"))
            }
        },
    }
}

fn slirp(publish: &[PortForward], notice: String) -> Result<Prepared, NetworkError> {
    let (ssh, ports) = ports::choose(publish).map_err(NetworkError::NoPort)?;
    Ok(Prepared {
        backend: Backend::Slirp,
        ssh_port: ssh.host,
        tap: None,
        ports,
        notices: vec![notice],
        socket: None,
        process: None,
    })
}

/// A network by passt, or why passt cannot carry it here.
async fn by_passt(
    finder: &Finder,
    publish: &[PortForward],
    files: &Files,
) -> Result<Result<Prepared, PasstError>, NetworkError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (ssh, ports) = ports::choose(publish).map_err(NetworkError::NoPort)?;
        let forwards: Vec<_> = std::iter::once(ssh).chain(ports.iter().copied()).collect();
        match passt::start(finder, &forwards, files).await {
            Ok((process, socket)) => {
                return Ok(Ok(Prepared {
                    backend: Backend::Passt,
                    ssh_port: ssh.host,
                    tap: None,
                    ports,
                    notices: Vec::new(),
                    socket: Some(socket),
                    process: Some(process),
                }));
            }
            // Nobody but its user can choose another.
            Err(PasstError::PortTaken(Some(lost))) if publish.contains(&lost) => {
                return Err(NetworkError::Published(lost));
            }
            Err(PasstError::PortTaken(_)) if attempt < PORT_ATTEMPTS => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}
