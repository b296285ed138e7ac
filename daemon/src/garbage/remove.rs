//! Makes files and processes that are garbage go away.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::decide::Action;
use crate::spawn::{Finder, Launch, MMDEBSTRAP, Process, ProcessId};

/// How long a build's own tool may take to delete what its users made.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries out what concerns files and processes only; what is gone already is no error.
/// VMs are removed by whoever has their tasks.
///
/// # Errors
/// Why it stays.
pub(crate) async fn remove(action: &Action, finder: &Finder) -> io::Result<()> {
    match action {
        Action::Delete(path) => {
            let path = path.clone();
            blocking(move || remove_tree(&path)).await
        }
        Action::DeleteBuild(path) => remove_build(path, finder).await,
        Action::Kill(id) => kill(id, false).await,
        Action::KillGroup(id) => kill(id, true).await,
        Action::Discard(_) | Action::RemoveVm(_) | Action::LeaveAlone => Ok(()),
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn kill(id: &ProcessId, with_group: bool) -> io::Result<()> {
    let Some(process) = Process::find(id)? else { return Ok(()) };
    let group = i32::try_from(id.pid).ok().and_then(Pid::from_raw).filter(|_| with_group);
    if let Some(group) = group {
        // The number is its own while it is held and has not ended. One that leads no
        // group is killed alone, below.
        let _no_group = kill_process_group(group, Signal::KILL);
    }
    process.kill().await
}

/// Deletes the folder of a build: what the users of its namespace own goes by the tool
/// that made it, inside such a namespace.
async fn remove_build(path: &Path, finder: &Finder) -> io::Result<()> {
    let ours = path.to_owned();
    match blocking(move || remove_tree(&ours)).await {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        outcome => return outcome,
    }
    let mut started = Launch::new(&MMDEBSTRAP, finder)
        .map_err(io::Error::other)?
        .arguments(["--unshare-helper", "rm", "-rf", "--"])
        .arguments(std::fs::read_dir(path)?.flatten().map(|entry| entry.path()))
        .start()
        .map_err(io::Error::other)?;
    if tokio::time::timeout(PATIENCE, started.child.wait()).await.is_err() {
        started.kill_group();
    }
    let ours = path.to_owned();
    blocking(move || remove_tree(&ours)).await
}

/// Removes a file, or a folder with all that is in it.
fn remove_tree(path: &Path) -> io::Result<()> {
    let is_folder = match path.symlink_metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let removed =
        if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
