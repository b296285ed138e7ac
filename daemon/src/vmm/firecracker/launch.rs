//! Starts Firecracker inside its walls, and undoes what it did when that fails.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use banger_proto::VmmKind;
use tokio::net::unix::pipe;

use super::configuration::{CONFIGURATION, LOG, SOCKETS, arguments, configuration};
use super::filter::{self, FILTER_DESCRIPTOR};
use super::gate::{self, Gate};
use super::{MOST_CPUS, api, version};
use crate::net::{Backend, Choice, NetworkError};
use crate::spawn::{Attempt, BWRAP, FIRECRACKER, Launch, ProcessId, Started};
use crate::vmm::observe::{self, Standing};
use crate::vmm::spec::{Accelerator, Files, VmmSpec};
use crate::vmm::start::{Running, StartError};
use crate::vmm::walls::{self, INFO_DESCRIPTOR, Walls};
use crate::vmm::{Host, console};

/// How long it may take until it answers on its control socket.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where taps are opened by their names.
const TUN: &str = "/dev/net/tun";
/// Between two looks whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Starts the VM and returns when Firecracker says that it runs.
pub(in crate::vmm) async fn start(host: &Host, spec: &VmmSpec) -> Result<Running, StartError> {
    let unfit = |reason: String| StartError::Unfit { reason };
    let Walls::Bubblewrap { sealed } = host.walls else {
        let why = host.walls.reason().unwrap_or_default();
        return Err(unfit(format!("Firecracker is run in bubblewrap only, and {why}")));
    };
    if host.accelerator != Accelerator::Kvm {
        return Err(unfit("Firecracker needs KVM, and here is none".to_owned()));
    }
    let (network, tap) = match &spec.network {
        Choice::None => (Backend::None, None),
        Choice::Tap(tap) => (Backend::Bridge, Some(tap.clone())),
        _ => return Err(unfit("Firecracker has no user-mode network".to_owned())),
    };
    if !spec.shares.is_empty() || spec.cpus > MOST_CPUS {
        return Err(unfit("Firecracker has not what this VM needs".to_owned()));
    }
    // Another one may have been installed since the VM was made.
    version::ask(&host.finder).await.map_err(unfit)?;

    let files = Files::of(&spec.directory);
    let directory = files.directory().display().to_string();
    let failed = |source| StartError::Files { directory: directory.clone(), source };
    console::begin(&files).map_err(failed)?;
    make_files(&files, spec).map_err(failed)?;
    let log = |path| File::options().append(true).open(path);
    // From here on nobody else gets it.
    let opened = tap.as_ref().map(|tap| {
        tap.open().map_err(|source| NetworkError::Tap { name: tap.name.clone(), source })
    });
    let (gate, theirs) = Gate::new(opened.transpose()?).map_err(failed)?;

    let (reader, writer) = io::pipe().map_err(failed)?;
    let program = host.finder.find(&FIRECRACKER)?;
    let launch = Launch::this_program("bangerd")
        .arguments(gate::around(&files.console_input()))
        .arguments([host.finder.find(&BWRAP)?])
        .arguments(["--seccomp", &FILTER_DESCRIPTOR.to_string()])
        .arguments(walls::around_bound(&program, &bound(&files, spec), true, sealed))
        .arguments(arguments(spec, Files::API))
        .descriptor(INFO_DESCRIPTOR, writer.into())
        .descriptor(FILTER_DESCRIPTOR, filter::file().map_err(failed)?)
        .stdin(theirs)
        .stdout(log(files.console()).map_err(failed)?)
        .stderr(log(files.vmm_log()).map_err(failed)?);
    let info = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let mut attempt = Attempt { started: launch.start()?, succeeded: false };
    let vmm = attend(&attempt.started, info, gate, spec, &files).await?;
    attempt.succeeded = true;
    let started = observe::Started {
        walls: &host.walls,
        landlock: None,
        kind: VmmKind::Firecracker,
        network,
        network_process: None,
        shares: &[],
    };
    let Standing { walls, missing } = observe::observe(vmm.pid, started);
    Ok(Running {
        vmm,
        kind: VmmKind::Firecracker,
        network_process: None,
        network,
        ssh_port: None,
        tap,
        ports: Vec::new(),
        accelerator: host.accelerator,
        walls,
        missing,
        shares: Vec::new(),
        notices: host.notices().to_vec(),
    })
}

/// The files that a run needs, made anew.
fn make_files(files: &Files, spec: &VmmSpec) -> io::Result<()> {
    files.forget();
    let new = |path: PathBuf| {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::options().write(true).create_new(true).mode(0o600).open(path)
    };
    new(files.vmm_log())?;
    new(files.firecracker_log())?;
    let told = configuration(spec, &walls::places_inside(spec), Files::VSOCK);
    new(files.configuration())?.write_all(told.to_string().as_bytes())?;
    DirBuilder::new().mode(0o700).create(files.sockets())
}

/// What of the host it sees, and how: nothing else but `/usr`.
fn bound(files: &Files, spec: &VmmSpec) -> Vec<(&'static str, PathBuf, PathBuf)> {
    let inside = walls::places_inside(spec);
    let mut bound = vec![
        ("--dev-bind", "/dev/kvm".into(), "/dev/kvm".into()),
        ("--ro-bind", spec.kernel.clone(), inside.kernel),
    ];
    if let (Some(from), Some(to)) = (&spec.initrd, inside.initrd) {
        bound.push(("--ro-bind", from.clone(), to));
    }
    if matches!(spec.network, Choice::Tap(_)) {
        bound.push(("--dev-bind", TUN.into(), TUN.into()));
    }
    bound.extend([
        ("--dev-bind", spec.rootfs.path().to_owned(), inside.rootfs),
        ("--dev-bind", spec.work_disk.clone(), inside.work_disk),
        ("--ro-bind", files.configuration(), CONFIGURATION.into()),
        ("--bind", files.firecracker_log(), LOG.into()),
        ("--bind", files.sockets(), SOCKETS.into()),
    ]);
    bound
}

/// Returns its process once it says that the guest runs; what it said, when it ends before.
async fn attend(
    started: &Started,
    info: pipe::Receiver,
    gate: Gate,
    spec: &VmmSpec,
    files: &Files,
) -> Result<ProcessId, StartError> {
    let log = || console::tail_of(&files.vmm_log(), 8);
    let named = format!("banger-{}", spec.id);
    let bubblewrap = started.process.id().pid;
    let tap_is_given = async {
        // It ends without, and tells its log.
        if let Err(error) = gate.open_once().await {
            tracing::warn!(vm = %spec.id, %error, "Firecracker was not given its tap");
        }
    };
    let runs = async {
        let vmm = walls::inside(info, bubblewrap).await?;
        loop {
            match api::instance(files).await {
                Ok(said) if said.state == "Running" && said.id == named => return Some(vmm),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    let answers = async { tokio::join!(tap_is_given, runs).1 };
    tokio::select! {
        biased;
        Some(vmm) = answers => Ok(vmm),
        _ = started.process.ended() => Err(StartError::Ended { log: log() }),
        () = tokio::time::sleep(PATIENCE) => Err(StartError::Silent { log: log() }),
    }
}

#[cfg(test)]
mod tests;
