//! What the command line can see by itself, as data.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use banger_proto::Distribution;
use banger_proto::paths::{PathError, Paths};
use tokio::process::Command;

use crate::bangerd::{self, DaemonError};
use crate::failure::Failure;
use crate::terminal::Terminal;

/// How long a daemon that runs may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that was looked at.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) root: bool,
    pub(super) distribution: Distribution,
    /// The folder of the socket, or why there is none.
    pub(super) folder: Folder,
    /// bangerd's program, when it was found; else where it was looked for.
    pub(super) program: Result<PathBuf, Vec<PathBuf>>,
    /// What the program says of its version, or why it says nothing.
    pub(super) version: Result<String, String>,
    pub(super) daemon: Daemon,
    /// What ssh says of its version; `None` where there is none.
    pub(super) ssh: Option<String>,
}

/// The folder that holds bangerd's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Folder {
    /// There is no home.
    Unknown(String),
    /// It is not there yet, and the folder above it may be written to or not.
    Absent { path: PathBuf, above: Option<String> },
    /// Others may enter it.
    Open(PathBuf),
    /// It is private; `session` says that it goes with the login.
    Private { path: PathBuf, session: bool },
}

/// The daemon behind the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Daemon {
    /// Nobody looked: something else is missing.
    NotAsked,
    /// None runs; there may be a socket of one that did.
    Absent { socket: Option<PathBuf> },
    /// It answers; `fresh` when it was started just now.
    Answers { version: String, pid: u32, fresh: bool },
    /// It takes connections and does not answer.
    Hangs { pid: Option<u32> },
    /// It cannot be reached or started: what, because, try.
    Trouble { what: String, because: Vec<String>, hint: String },
}

fn folder(paths: &Result<Paths, PathError>) -> Folder {
    let paths = match paths {
        Ok(paths) => paths,
        Err(error) => return Folder::Unknown(error.to_string()),
    };
    let path = paths.runtime.clone();
    let Ok(metadata) = path.symlink_metadata() else {
        let above = path.ancestors().skip(1).find(|folder| folder.exists());
        let above = above.unwrap_or(Path::new("/"));
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let trouble = rustix::fs::access(above, access).err();
        let above =
            trouble.map(|error| format!("{} cannot be written to: {error}", above.display()));
        return Folder::Absent { path, above };
    };
    let own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if own && metadata.permissions().mode() & 0o077 == 0 {
        Folder::Private { session: !path.starts_with(&paths.state), path }
    } else {
        Folder::Open(path)
    }
}

/// What a program says on either of its streams when it is asked for its version.
async fn version(program: &Path, option: &str) -> Result<String, String> {
    let child = Command::new(program)
        .arg(option)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| format!("it does not end within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let said = String::from_utf8_lossy(said).lines().next().unwrap_or_default().trim().to_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{}: {said}", output.status)) }
}

/// Who answers at the socket, if anybody does; nothing is started.
async fn daemon(paths: &Paths) -> Daemon {
    let asked = tokio::time::timeout(PATIENCE, async {
        match bangerd::running().await? {
            Some(mut client) => Ok(Some(client.describe().await.map_err(DaemonError::Socket)?)),
            None => Ok(None),
        }
    });
    match asked.await {
        Ok(Ok(Some(found))) => {
            Daemon::Answers { version: found.version, pid: found.pid, fresh: false }
        }
        Ok(Ok(None)) => {
            Daemon::Absent { socket: Some(paths.socket()).filter(|path| path.exists()) }
        }
        Ok(Err(error)) => trouble(error),
        Err(_) => {
            let text = std::fs::read_to_string(paths.state.join("bangerd.lock"));
            Daemon::Hangs { pid: text.ok().and_then(|text| text.trim().parse().ok()) }
        }
    }
}

fn trouble(error: DaemonError) -> Daemon {
    let failure = Failure::Daemon(error);
    Daemon::Trouble { what: failure.to_string(), because: failure.chain(), hint: failure.hint() }
}

/// Looks at everything but what a start of bangerd would tell.
pub(super) async fn gather() -> Facts {
    let root = rustix::process::geteuid().is_root();
    let paths = Paths::of_this_process();
    let program = bangerd::program();
    let folder = folder(&paths);
    let version_of_program = match &program {
        Ok(program) => version(program, "--version").await,
        Err(_) => Err(String::new()),
    };
    let usable = !root && matches!(folder, Folder::Absent { .. } | Folder::Private { .. });
    let daemon = match &paths {
        Ok(paths) if usable => daemon(paths).await,
        _ => Daemon::NotAsked,
    };
    Facts {
        root,
        distribution: Distribution::here(),
        folder,
        program,
        version: version_of_program,
        daemon,
        ssh: version(Path::new("ssh"), "-V").await.ok(),
    }
}

impl Facts {
    /// Starts bangerd as any command does, where none runs and nothing speaks against it.
    pub(super) async fn start(&mut self, terminal: Terminal) {
        let Daemon::Absent { .. } = self.daemon else { return };
        if self.program.is_err() {
            return;
        }
        let started = async {
            let mut client = bangerd::connect(terminal).await?;
            client.describe().await.map_err(DaemonError::Socket)
        };
        self.daemon = match started.await {
            Ok(found) => Daemon::Answers { version: found.version, pid: found.pid, fresh: true },
            Err(error) => trouble(error),
        };
    }
}
