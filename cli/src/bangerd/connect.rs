//! A connection to bangerd, which is started when nobody answers.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use banger_proto::client::{Client, Description};
use banger_proto::paths::{PathError, Paths, private_directory};
use banger_proto::{Code, Refusal};
use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;

use super::find;
use super::start::Starting;
use crate::terminal::{Terminal, during};

/// Why there is no connection to bangerd.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// root owns no VMs.
    #[error("banger does not run as root: its VMs are an ordinary user's")]
    Root,
    /// The folders cannot be told, made or trusted.
    #[error(transparent)]
    Paths(#[from] PathError),
    /// The program is nowhere.
    #[error("bangerd is not installed")]
    NotFound { searched: Vec<PathBuf> },
    /// The program cannot be run.
    #[error("cannot start {}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    /// It ended instead of answering.
    #[error("bangerd did not start: {status}")]
    Ended { status: ExitStatus, words: String },
    /// It neither answers nor ends.
    #[error("bangerd does not answer after {} s", PATIENCE.as_secs())]
    Silent { words: String },
    /// Something answers that must not be trusted, or the socket cannot be used.
    #[error("cannot use bangerd's socket")]
    Socket(#[source] Refusal),
    /// The start cannot be kept apart from other starts.
    #[error("cannot lock {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
}

/// How long a start may take until the socket answers.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long somebody else's daemon may take to answer after ours has ended: it found the
/// other one there.
const GRACE: Duration = Duration::from_secs(2);
/// How often a daemon that ends instead of answering is asked again.
const GREETINGS: usize = 3;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(3);

/// This program's version, which bangerd must have too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn paths() -> Result<Paths, DaemonError> {
    if rustix::process::geteuid().is_root() {
        return Err(DaemonError::Root);
    }
    Ok(Paths::of_this_process()?)
}

/// A connection to the daemon that runs, if one does; starts and makes nothing.
pub(crate) async fn running() -> Result<Option<Client>, DaemonError> {
    let paths = paths()?;
    if !paths.runtime.exists() {
        return Ok(None);
    }
    private_directory(&paths.runtime)?;
    attempt(&paths.socket()).await
}

/// A connection to bangerd, which is started when nobody answers, and again when it is of
/// another version: VMs run on without it.
pub(crate) async fn connect(terminal: Terminal) -> Result<Client, DaemonError> {
    let paths = paths()?;
    private_directory(&paths.runtime)?;
    let (mut client, other) = during(terminal, "waiting for bangerd", greet(&paths)).await?;
    let Some(other) = other else { return Ok(client) };
    if other.version == VERSION {
        return Ok(client);
    }
    terminal.note(&format!(
        "bangerd {} is replaced by {VERSION}; running VMs are not touched",
        other.version
    ));
    let replaced = async {
        end(&mut client, &paths.socket()).await?;
        greet(&paths).await
    };
    let (client, other) = during(terminal, "replacing bangerd", replaced).await?;
    if let Some(description) = other.filter(|other| other.version != VERSION) {
        terminal.note(&format!("banger {VERSION} talks to bangerd {}", description.version));
    }
    Ok(client)
}

/// A connection, and who answers. A daemon that is just being killed still takes connections
/// and answers none: asking who it is changes nothing, and can be done again elsewhere.
async fn greet(paths: &Paths) -> Result<(Client, Option<Description>), DaemonError> {
    let mut client = connect_or_start(paths).await?;
    for _ in 0..GREETINGS {
        match client.describe().await {
            Ok(description) => return Ok((client, Some(description))),
            Err(refusal) if refusal.code == Code::Unavailable || is_cut(&refusal) => {
                sleep(LOOK).await;
                client = connect_or_start(paths).await?;
            }
            // It lives; what the command asks of it will tell what is wrong.
            Err(_) => return Ok((client, None)),
        }
    }
    Ok((client, None))
}

/// Whether the connection ended in the middle of a call.
fn is_cut(refusal: &Refusal) -> bool {
    refusal.stage.is_empty() && refusal.chain.iter().any(|cause| cause.contains("transport error"))
}

/// Ends the daemon that runs, if one does, and says whether one did.
pub(crate) async fn stop() -> Result<bool, DaemonError> {
    let Some(mut client) = running().await? else { return Ok(false) };
    end(&mut client, &paths()?.socket()).await?;
    Ok(true)
}

/// Ends the daemon and waits until it has let go of its socket.
async fn end(client: &mut Client, socket: &Path) -> Result<(), DaemonError> {
    client.shutdown().await.map_err(DaemonError::Socket)?;
    let begun = Instant::now();
    // One that is going may cut a connection in its middle: that is no answer yet.
    while begun.elapsed() < PATIENCE && !matches!(attempt(socket).await, Ok(None)) {
        sleep(LOOK).await;
    }
    Ok(())
}

/// One look at the socket: `None` when nobody listens.
async fn attempt(socket: &Path) -> Result<Option<Client>, DaemonError> {
    match Client::connect(socket).await {
        Ok(client) => Ok(Some(client)),
        Err(refusal) if refusal.code == Code::Unavailable => Ok(None),
        Err(refusal) => Err(DaemonError::Socket(refusal)),
    }
}

async fn connect_or_start(paths: &Paths) -> Result<Client, DaemonError> {
    let socket = paths.socket();
    if let Some(client) = attempt(&socket).await? {
        return Ok(client);
    }
    let begun = Instant::now();
    // Of several callers at once one starts the daemon; the others find it. The lock is on
    // the folder itself: it needs no file.
    let _lock = lock(&paths.runtime, begun).await?;
    if let Some(client) = attempt(&socket).await? {
        return Ok(client);
    }
    let program = find::find().map_err(|searched| DaemonError::NotFound { searched })?;
    let failed = |source| DaemonError::Spawn { program: program.clone(), source };
    let mut starting = Starting::spawn(&program).map_err(failed)?;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let mut again = false;
    loop {
        if let Some(client) = attempt(&socket).await? {
            return Ok(client);
        }
        match ended {
            // It ended well since another has the lock, and nobody reaches that one: it may
            // have been about to end.
            Some((status, since)) if status.success() && since.elapsed() > GRACE && !again => {
                again = true;
                starting = Starting::spawn(&program).map_err(failed)?;
                ended = None;
            }
            Some((status, since)) if since.elapsed() > GRACE || begun.elapsed() > PATIENCE => {
                return Err(DaemonError::Ended { status, words: starting.last_words() });
            }
            Some(_) => {}
            None if begun.elapsed() > PATIENCE => {
                return Err(DaemonError::Silent { words: starting.last_words() });
            }
            None => {
                ended = starting.ended().map_err(failed)?.map(|status| (status, Instant::now()));
            }
        }
        sleep(LOOK).await;
    }
}

/// Takes the lock on `folder`, waiting for others that start a daemon.
async fn lock(folder: &Path, begun: Instant) -> Result<File, DaemonError> {
    let failed = |source| DaemonError::Lock { path: folder.to_owned(), source };
    let file = File::open(folder).map_err(failed)?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => sleep(LOOK).await,
            Err(error) => return Err(failed(error.into())),
        }
    }
}
