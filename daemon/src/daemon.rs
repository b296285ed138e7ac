//! The daemon from its beginning to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use banger_proto::paths::{PathError, Paths, private_directory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::context::Context;
use crate::server::{self, Listener};
use crate::store::{Instance, InstanceError};
use crate::vm::Registry;
use crate::{log, names, reconcile};

/// How long the undoing of starts may take when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Started by root.
    #[error(
        "bangerd does not run as root: run it, or banger, as the ordinary user whose VMs these are"
    )]
    Root,
    /// The owner's folders cannot be used.
    #[error(transparent)]
    Paths(#[from] PathError),
    /// Another daemon runs, or the lock cannot be taken.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// There is no socket.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The runtime or the signal handlers cannot be set up.
    #[error("cannot set up the daemon")]
    SetUp(#[source] std::io::Error),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Descriptors that the daemon may have, where the system lets it.
const DESCRIPTORS: u64 = 16_384;

/// Serves the owner until asked to end. VMs run on then.
///
/// # Errors
/// [`DaemonError`]; [`InstanceError::Held`] when the owner has a daemon already.
pub fn run() -> Result<(), DaemonError> {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return Err(DaemonError::Root);
    }
    let paths = Paths::of_this_process()?;
    private_directory(&paths.state)?;
    let _instance = Instance::lock(&paths.state)?;
    log::begin(&paths.state);
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DaemonError::SetUp)?;
    let outcome = runtime.block_on(serve(paths));
    // A blocking copy under way is of no use to anybody any more.
    runtime.shutdown_background();
    outcome
}

/// Lets this process have as many descriptors as many VMs need: what a login gives is for one
/// program of one person's.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if limit.current.is_some_and(|current| current < most)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit })
    {
        tracing::warn!(%error, "cannot have more descriptors");
    }
}

async fn serve(paths: Paths) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::SetUp)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::SetUp)?;
    let socket = paths.socket();
    let registry = Registry::new(Arc::new(Context::new(paths)));
    let listener = Listener::bind(&socket)
        .map_err(|source| DaemonError::Listen { path: socket.clone(), source })?;
    // Before anybody is answered: whoever connects sees the VMs as they are.
    reconcile::take_over(&registry).await;
    tracing::debug!(socket = %socket.display(), "serving");

    // Ends with the runtime.
    tokio::spawn(names::keep(registry.clone()));

    let (end, mut asked) = watch::channel(false);
    let (left, has_left) = watch::channel(false);
    let leaving = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = asked.wait_for(|&end| end) => {}
        }
        tracing::debug!("ending; VMs run on");
        // Before connections end: a hold that ends with the daemon lets nothing go.
        if tokio::time::timeout(PATIENCE, registry.leave()).await.is_err() {
            tracing::warn!("an operation did not end in time; the next daemon undoes it");
        }
        left.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = server::serve(registry.clone(), listener, has_left, end) => {
            served.map_err(DaemonError::Serve)
        }
        () = leaving => Ok(()),
    }
}
