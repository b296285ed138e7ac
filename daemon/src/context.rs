//! What every verb has at hand: where things are, and what the host can do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use banger_proto::paths::Paths;
use banger_proto::{Code, Refusal};
use tokio::sync::Mutex;

use crate::cgroup::Groups;
use crate::config::{self, Settings};
use crate::names::Board;
use crate::net::PortBook;
use crate::spawn::Finder;
use crate::store::{Claims, Images, Vms};
use crate::verb::{Turns, blocking};
use crate::vmlinux::Bench;
use crate::vmm::Host;

/// The daemon's surroundings.
#[derive(Debug)]
pub struct Context {
    /// The owner's folders.
    pub paths: Paths,
    /// The folders of VMs.
    pub vms: Vms,
    /// The folders of images.
    pub images: Images,
    /// What builds are using outside these folders.
    pub builds: Claims,
    /// Which VM has which of the host's ports.
    pub ports: Arc<PortBook>,
    /// Whose turn it is to start with the root helper, or to boot under software emulation.
    pub turns: Turns,
    /// Which VMs others reach by their names.
    pub(crate) names: Board,
    /// Where kernels are unpacked.
    pub(crate) bench: Bench,
    host: Mutex<Option<Arc<Host>>>,
    groups: Mutex<Option<Groups>>,
}

impl Context {
    /// The surroundings that `paths` names.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self {
            vms: Vms::in_state(&paths.state),
            images: Images::in_data(&paths.data),
            builds: Claims::default(),
            paths,
            ports: Arc::default(),
            turns: Turns::default(),
            names: Board::default(),
            bench: Bench::default(),
            host: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Where programs are found, by the configuration if it can be used.
    pub async fn programs(&self) -> Finder {
        self.settings().await.map_or_else(|_| Finder::default(), |set| Self::finder(&set))
    }

    /// Everything that this daemon is making or removing now.
    #[must_use]
    pub fn claimed(&self) -> BTreeSet<PathBuf> {
        let claims = [self.vms.claims(), self.images.claims(), &self.builds];
        claims.into_iter().flat_map(Claims::all).collect()
    }

    /// What is configured, read anew.
    ///
    /// # Errors
    /// [`Code::FailedPrecondition`] when a file cannot be used.
    pub async fn settings(&self) -> Result<Settings, Refusal> {
        let paths = self.paths.clone();
        blocking(move || Ok(config::load(&paths).whole()?)).await
    }

    /// Where programs are found.
    #[must_use]
    pub fn finder(settings: &Settings) -> Finder {
        Finder::default().preferring(settings.programs())
    }

    /// What this host runs VMs with: found out by the first who asks, and again when
    /// programs are to be found elsewhere, or as long as something is missing.
    ///
    /// # Errors
    /// [`Code::FailedPrecondition`] without QEMU.
    pub async fn host(&self, settings: &Settings) -> Result<Arc<Host>, Refusal> {
        let finder = Self::finder(settings);
        let mut known = self.host.lock().await;
        if let Some(host) = known.as_ref().filter(|host| host.finder == finder) {
            return Ok(host.clone());
        }
        let host = Host::probe(finder, &self.paths.state)
            .await
            .map(Arc::new)
            .map_err(|missing| Refusal::from_error(Code::FailedPrecondition, &missing))?;
        *known = Some(host.clone());
        Ok(host)
    }

    /// Where cgroups of VMs are made: found by the first who asks, and looked for again as long
    /// as there is none.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn groups(&self) -> Result<Groups, String> {
        let mut known = self.groups.lock().await;
        if let Some(groups) = known.as_ref() {
            return Ok(groups.clone());
        }
        Ok(known.insert(Groups::find().await?).clone())
    }

    /// Whether [`Context::host`] answers at once.
    #[must_use]
    pub fn host_is_known(&self, settings: &Settings) -> bool {
        let finder = Self::finder(settings);
        // Whoever holds the lock is finding out.
        self.host.try_lock().is_ok_and(|known| known.as_ref().is_some_and(|h| h.finder == finder))
    }
}

/// Seconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|passed| i64::try_from(passed.as_secs()).ok())
        .unwrap_or(0)
}
