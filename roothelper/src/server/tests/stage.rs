//! A helper for one test, and users who ask it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use banger_proto::roothelper::{Interaction, RootHelper};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use crate::audit::{Audit, Entry, Kept};
use crate::authority::simulated::Simulated as Polkit;
use crate::authority::{Asked, Authority};
use crate::kernel::simulated::Simulated as Kernel;
use crate::server::{Capacity, Ended, Patience, Server};
use crate::skip::skip;
use crate::{Action, Caller, Config, Gate};

/// An authority that the test can still look at.
#[derive(Debug, Clone)]
struct Shared(Arc<Polkit>);

impl Authority for Shared {
    fn ask<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        interaction: Interaction,
    ) -> Asked<'a> {
        self.0.ask(caller, action, interaction)
    }
}

/// A helper that serves.
pub(super) struct Stage {
    folder: tempfile::TempDir,
    log: Kept,
    pub(super) polkit: Arc<Polkit>,
    pub(super) kernel: Arc<Kernel>,
    end: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Ended>>,
}

/// Deadlines of a second or so where the contract has many: what is waited for comes at the
/// latest by them, and a test that is held up only waits longer.
pub(super) const SHORT: Patience = Patience {
    greeting: Duration::from_millis(500),
    reading: Duration::from_millis(500),
    request: Duration::from_millis(500),
    ..Patience::CONTRACT
};

impl Stage {
    pub(super) fn new(polkit: Polkit) -> Self {
        Self::with(polkit, Capacity::UNIT, Patience::CONTRACT)
    }

    pub(super) fn with(polkit: Polkit, capacity: Capacity, patience: Patience) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (polkit, kernel, log) =
            (Arc::new(polkit), Arc::new(Kernel::default()), Kept::default());
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        for open in [folder.path().to_owned(), folder.path().join("s")] {
            std::fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
        }
        let gate =
            Gate::new(Box::new(Shared(Arc::clone(&polkit))), Audit::new(Box::new(log.clone())));
        let server =
            Server::new(gate, Arc::clone(&kernel) as _, Config::default()).patience(patience);
        let (end, ended) = oneshot::channel();
        let served = std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                server.serve(listener, capacity, async { drop(ended.await) }).await
            })
        });
        Self { folder, log, polkit, kernel, end: Some(end), served: Some(served) }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The log once it has so many entries.
    pub(super) fn log(&self, count: usize) -> Vec<Entry> {
        let begun = Instant::now();
        loop {
            let entries = self.log.entries();
            if entries.len() >= count || begun.elapsed() > Duration::from_secs(60) {
                assert_eq!(entries.len(), count, "{entries:#?}");
                return entries;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The log once it has so many entries, or more.
    pub(super) fn log_at_least(&self, count: usize) -> Vec<Entry> {
        let begun = Instant::now();
        while self.log.entries().len() < count && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let entries = self.log.entries();
        assert!(entries.len() >= count, "{entries:#?}");
        entries
    }

    /// The one entry that there must be.
    pub(super) fn only_entry(&self) -> Entry {
        self.log(1).remove(0)
    }

    /// Lets it end, and waits for that; gives back the log.
    pub(super) fn end(mut self) -> (Ended, Vec<Entry>) {
        drop(self.end.take());
        let ended = self.served.take().unwrap().join().unwrap();
        (ended, self.log.entries())
    }

    /// Waits for an end that nobody asks for.
    pub(super) fn ends_by_itself(mut self) -> Ended {
        self.served.take().unwrap().join().unwrap()
    }
}

/// A file that is a base image to everybody when root tests, else to its owner, who tests; in
/// memory, since the folder of temporary files may be on any filesystem.
pub(super) fn base_image() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    file
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A user that tests ask as: another one than root's, when root tests.
pub(super) const ALICE: u32 = 12_345;
pub(super) const BOB: u32 = 12_346;

/// Who asks really: an ordinary user who runs the tests is only itself.
pub(super) fn really(uid: u32) -> u32 {
    let ours = geteuid();
    if ours.is_root() { uid } else { ours.as_raw() }
}

/// True where tests can be several users.
pub(super) fn is_root() -> bool {
    geteuid().is_root()
}

/// The same for a test that needs it, which `make test` counts where it is not so.
pub(super) fn may_be_several_users() -> bool {
    if !is_root() {
        skip("only root can be several users");
    }
    is_root()
}

/// Does something on a thread with the rights of a user: the kernel takes a thread's at
/// connect().
pub(super) fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if is_root() {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).unwrap();
            }
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Asks through the typed client, as a user.
pub(super) fn asks<T, F>(
    uid: u32,
    socket: &Path,
    question: impl FnOnce(RootHelper) -> F + Send,
) -> T
where
    T: Send,
    F: Future<Output = T>,
{
    as_user(uid, || {
        runtime().block_on(async { question(RootHelper::connect(socket).await.unwrap()).await })
    })
}
