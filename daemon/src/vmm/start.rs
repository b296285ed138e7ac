//! Starts a VMM inside its walls, with its network, and undoes what it did when that fails.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use banger_proto::{PortForward, VmmKind};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::console;
use super::firecracker;
use super::host::Host;
use super::landlocked::{self, Report};
use super::observe::{self, Standing};
use super::qemu::{CONTROL_DESCRIPTOR, Cable, NETWORK_DESCRIPTOR, Places, Qemu, Run, Vmm, hostfwd};
use super::qmp::{Qmp, with_short_path};
use super::spec::{Accelerator, Files, VmmSpec};
use super::walls::{self, INFO_DESCRIPTOR, Walls};
use crate::net::{self, Backend, NetworkError, Prepared, Tap};
use crate::share::{self, DESCRIPTORS, Served, Serving, ShareError};
use crate::spawn::{Attempt, BWRAP, Launch, LaunchError, Missing, ProcessId, Started};

/// How long QEMU may take until it answers on its control socket. The guest does
/// nothing in that time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a network whose port was lost to somebody else is prepared anew.
const ATTEMPTS: usize = 5;

/// Where a guest's sshd listens.
const SSHD: u16 = 22;

/// A VM that runs: what its record keeps of it, so that it is found again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// The VMM's process.
    pub vmm: ProcessId,
    /// Which program that is.
    #[serde(default, with = "crate::store::text", skip_serializing_if = "is_qemu")]
    pub kind: VmmKind,
    /// The network's process, where it has one. It ends with the VMM.
    pub network_process: Option<ProcessId>,
    /// What carries the network.
    pub network: Backend,
    /// Port on 127.0.0.1 that leads to the guest's sshd.
    pub ssh_port: Option<u16>,
    /// Its tap on the bridge, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<Tap>,
    /// What is published, each with its port of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "crate::store::texts")]
    pub ports: Vec<PortForward>,
    /// What executes the guest's instructions.
    pub accelerator: Accelerator,
    /// Which walls hold around the VMM, each in one line for people.
    pub walls: Vec<String>,
    /// Which do not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The file servers of its shared folders. They end with the VMM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Served>,
    /// What the user should know, each in one line.
    pub notices: Vec<String>,
}

fn is_qemu(kind: &VmmKind) -> bool {
    *kind == VmmKind::Qemu
}

impl Running {
    /// The ports of the host that lead to the guest, its sshd's among them.
    #[must_use]
    pub fn bound(&self) -> Vec<PortForward> {
        let ssh = self.ssh_port.map(|port| PortForward::loopback(port, 22));
        ssh.into_iter().chain(self.ports.iter().copied()).collect()
    }

    /// Where this host reaches the guest's sshd.
    #[must_use]
    pub fn sshd(&self) -> Option<SocketAddrV4> {
        match (&self.tap, self.ssh_port) {
            (Some(tap), _) => Some(SocketAddrV4::new(tap.card.address, SSHD)),
            (None, port) => port.map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)),
        }
    }
}

#[cfg(test)]
impl Running {
    /// A VM under emulation, with a user-mode network.
    pub(crate) fn sample() -> Self {
        Self {
            vmm: ProcessId { pid: 10, start_ticks: 1, boot_id: "b".into() },
            kind: VmmKind::Qemu,
            network_process: None,
            network: Backend::Slirp,
            ssh_port: Some(1),
            tap: None,
            ports: Vec::new(),
            accelerator: Accelerator::Tcg,
            walls: Vec::new(),
            missing: Vec::new(),
            shares: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// A VM that could not be started. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A program could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// There is no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A folder cannot be shared.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A file or socket of the VM's directory could not be made.
    #[error("cannot make the files of a run in {directory}")]
    Files {
        /// The VM's directory.
        directory: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What is recorded to run it cannot.
    #[error("{reason}")]
    Unfit {
        /// Why not.
        reason: String,
    },
    /// QEMU ended before the guest ran.
    #[error("the VMM would not start")]
    Ended {
        /// The last lines of what it said.
        log: String,
    },
    /// A port that was chosen was taken, again and again.
    #[error("other programs kept taking the ports that were chosen; try again")]
    PortTaken {
        /// The last lines of what QEMU said.
        log: String,
    },
    /// QEMU does not answer on its control socket.
    #[error("the VMM was started and did not answer in time")]
    Silent {
        /// The last lines of what it said.
        log: String,
    },
}

/// Starts the VM and returns when its VMM answers; the guest begins to boot then
/// ([`crate::guest::wait`] waits for it). The VMM outlives the daemon.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn start(host: &Host, spec: &VmmSpec) -> Result<Running, StartError> {
    if spec.kind == VmmKind::Firecracker {
        return firecracker::start(host, spec).await;
    }
    let files = Files::of(&spec.directory);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let network = net::prepare(&host.finder, &spec.network, &spec.publish, &files).await?;
        match start_once(host, spec, &files, network).await {
            Err(StartError::PortTaken { .. }) if attempt < ATTEMPTS => {}
            outcome => return outcome,
        }
    }
}

async fn start_once(
    host: &Host,
    spec: &VmmSpec,
    files: &Files,
    mut network: Prepared,
) -> Result<Running, StartError> {
    let failed =
        |source| StartError::Files { directory: files.directory().display().to_string(), source };
    let outside = Places {
        kernel: spec.kernel.clone(),
        initrd: spec.initrd.clone(),
        rootfs: spec.rootfs.path().to_owned(),
        work_disk: spec.work_disk.clone(),
        console: files.console(),
        line: files.console_line(),
    };
    console::begin(files).map_err(failed)?;
    let log = File::create(files.vmm_log()).map_err(failed)?;
    drop(log);
    let log = File::options().append(true).open(files.vmm_log()).map_err(failed)?;
    // QEMU is given the socket already listening: it needs no directory to make it
    // in, and whoever connects from now on will be answered.
    let control = listen(files).map_err(failed)?;

    let run = Run {
        accelerator: host.accelerator,
        network: match (network.backend, network.ssh_port) {
            (Backend::Passt, _) => Cable::Stream,
            (Backend::Bridge, _) => {
                network.tap.as_ref().map_or(Cable::None, |tap| Cable::Tap { mac: tap.card.mac })
            }
            (Backend::Slirp, Some(ssh)) => {
                let ssh = PortForward::loopback(ssh, 22);
                Cable::Slirp {
                    forwards: std::iter::once(ssh).chain(network.ports.iter().copied()).collect(),
                }
            }
            (Backend::Slirp | Backend::None, _) => Cable::None,
        },
    };
    if let Some(tap) = &network.tap {
        let opened = tap.open();
        network.socket =
            Some(opened.map_err(|source| NetworkError::Tap { name: tap.name.clone(), source })?);
    }
    let mut serving = share::serve(host, &spec.shares, files).await?;
    let qemu = host.finder.find(Qemu.program())?;
    let own_network = !matches!(run.network, Cable::Slirp { .. });
    let (mut launch, info) = if let Walls::Bubblewrap { sealed } = host.walls {
        let (reader, writer) = io::pipe().map_err(failed)?;
        let launch = Launch::new(&BWRAP, &host.finder)?
            .arguments(walls::around(spec, &outside, &qemu, run.accelerator, own_network, sealed))
            .arguments(Qemu.arguments(spec, &walls::places_inside(spec), &run))
            .descriptor(INFO_DESCRIPTOR, writer.into());
        (launch, Some(pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?))
    } else if let Walls::Landlock(_) = host.walls {
        let system = walls::system_folders();
        let launch = Launch::this_program("bangerd")
            .arguments(landlocked::around(&system, &outside, &qemu, run.accelerator, !own_network))
            .arguments(Qemu.arguments(spec, &outside, &run))
            .stdout(Stdio::piped());
        (launch, None)
    } else {
        let launch = Launch::new(Qemu.program(), &host.finder)?
            .arguments(Qemu.arguments(spec, &outside, &run));
        (launch, None)
    };
    launch = launch.stderr(log).descriptor(CONTROL_DESCRIPTOR, control.into());
    if let Some(socket) = network.socket {
        launch = launch.descriptor(NETWORK_DESCRIPTOR, socket);
    }
    for (number, one) in DESCRIPTORS.zip(&mut serving) {
        if let Some(socket) = one.socket.take() {
            launch = launch.descriptor(number, socket);
        }
    }
    let mut attempt = Attempt { started: launch.start()?, succeeded: false };
    let attended = attend(&mut attempt.started, info, files).await;
    let vmm = match attended {
        Ok(vmm) => vmm,
        Err(error) => {
            for one in &mut serving {
                if let Some(trouble) = one.blame().await {
                    return Err(trouble.into());
                }
            }
            return Err(blame_published(error, &spec.publish));
        }
    };
    // Its device is there, and does nothing.
    if let Some(trouble) = serving.iter().find_map(Serving::trouble) {
        return Err(trouble.into());
    }
    let landlock = report(&mut attempt.started).await;
    attempt.succeeded = true;
    let network_process = network.process.map(|process| process.id().clone());
    let started = observe::Started {
        walls: &host.walls,
        landlock,
        kind: VmmKind::Qemu,
        network: network.backend,
        network_process: network_process.as_ref().map(|process| process.pid),
        shares: &serving,
    };
    let Standing { walls, missing } = observe::observe(vmm.pid, started);
    Ok(Running {
        walls,
        missing,
        shares: serving.into_iter().map(Serving::keep).collect(),
        vmm,
        kind: VmmKind::Qemu,
        network_process,
        network: network.backend,
        ssh_port: network.ssh_port,
        tap: network.tap,
        ports: network.ports,
        accelerator: run.accelerator,
        notices: host.notices().iter().chain(&network.notices).cloned().collect(),
    })
}

/// What a process that Landlock is around said before it became the VMM, which answers by
/// now: all is said.
async fn report(started: &mut Started) -> Option<Report> {
    let mut text = Vec::new();
    let mut stdout = started.child.stdout.take()?;
    tokio::time::timeout(Duration::from_secs(1), stdout.read_to_end(&mut text)).await.ok()?.ok()?;
    Report::parse(&text)
}

/// The listening control socket. One that an earlier run left behind is removed.
fn listen(files: &Files) -> io::Result<UnixListener> {
    with_short_path(files.directory(), Files::CONTROL, |path| {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(path)
    })
}

/// Returns QEMU's process once it answers; what it said, when it ends before.
async fn attend(
    started: &mut Started,
    info: Option<pipe::Receiver>,
    files: &Files,
) -> Result<ProcessId, StartError> {
    let log = || console::tail_of(&files.vmm_log(), 8);
    let answers = async {
        let vmm = match info {
            Some(info) => walls::inside(info, started.process.id().pid).await?,
            None => started.process.id().clone(),
        };
        Qmp::connect_in(files, PATIENCE).await.ok().map(|_greeted| vmm)
    };
    let outcome = tokio::select! {
        answer = answers => answer,
        () = tokio::time::sleep(PATIENCE) => return Err(StartError::Silent { log: log() }),
    };
    match outcome {
        Some(vmm) => Ok(vmm),
        None => {
            // A closed socket means that it is about to end; its last words are waited for.
            let ended = tokio::time::timeout(Duration::from_secs(2), started.child.wait()).await;
            let mut log = log();
            if let (true, Ok(Ok(status))) = (log.is_empty(), ended) {
                log = format!("it ended without a word: {status}");
            }
            if log.contains("Could not set up host forwarding rule") {
                return Err(StartError::PortTaken { log });
            }
            Err(StartError::Ended { log })
        }
    }
}

/// A port that only its user can choose anew is no reason to try again.
fn blame_published(error: StartError, publish: &[PortForward]) -> StartError {
    let lost = match &error {
        StartError::PortTaken { log } => {
            publish.iter().find(|port| port.host.is_some() && log.contains(&hostfwd(port)))
        }
        _ => None,
    };
    match lost {
        Some(lost) => NetworkError::Published(*lost).into(),
        None => error,
    }
}

#[cfg(test)]
mod tests;
